"""What a notebook shows of a result: HTML with the facts, curves and pictures, without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import torch

from quickstudy.episode import Episode
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import LOSS, METRICS, OWN_LOSS, Metric
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.report import plots
from quickstudy.report.curves import learning_curves
from quickstudy.report.page import LIGHT
from quickstudy.report.pictures import is_images, support_pictures
from quickstudy.report.style import variables
from quickstudy.tasks.distribution.interface import TaskDistribution

FACTS = ("ways", "shots", "queries", "within", "episodes", "seed", "normalisation", "steps", "executor")


def of_evaluation(evaluation: Evaluation) -> str:
    """A table of the scores with their intervals, and the protocol."""
    metrics = {metric.name: metric for metric in evaluation._metrics}
    rows = [one.text(metrics.get(one.metric)) for one in (evaluation.score, *evaluation.others.values())]
    protocol = {key: evaluation.protocol[key] for key in FACTS if evaluation.protocol.get(key) is not None}
    scores = "".join(f'<tr><td style="text-align: left">{escape(row)}</td></tr>' for row in rows)
    return f"<table><thead><tr><th>{escape(evaluation.name)}</th></tr></thead><tbody>{scores}</tbody></table>{_line(protocol)}"


def of_result(result: TrainingResult) -> str:
    """How it ended, the training loss, and the validation score where there is one."""
    metric = None if result.best is None else {**METRICS, LOSS: OWN_LOSS}.get(result.best["metric"])
    drawn = _curves(result, metric) if result.history else ""
    return f"<p>{escape(str(result))}</p>{drawn}"


def of_tasks(tasks: TaskDistribution) -> str | None:
    """One task's support of images, class by class; None for tasks without images."""
    batch: Any = tasks.sample(1, generator=torch.Generator().manual_seed(0))
    if not isinstance(batch, Episode) or not is_images(batch[0].support.x) or batch.support.ways is None:
        return None
    return f"<p>{escape(repr(tasks))}</p>{support_pictures(batch[0].support)}"


def _curves(result: TrainingResult, metric: Metric | None) -> str:
    curves = learning_curves(result.history, metric or METRICS["accuracy"])
    drawn = plots.training_loss(curves)
    if curves.best is not None and metric is not None:
        drawn += plots.validation(curves.validation, curves.best, metric)
    drawn = drawn.replace("<svg ", '<svg style="max-width: 460px; background: white" ')
    return f'<div style="{variables(LIGHT)}">{drawn}</div>'


def _line(facts: Mapping[str, Any]) -> str:
    return f"<p>{escape(', '.join(f'{key} {value}' for key, value in facts.items()))}</p>"
