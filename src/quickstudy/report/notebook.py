"""What a notebook shows of a result: HTML with the facts, curves and pictures, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import torch

from quickstudy.episode import Episode, is_labels
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
    by_class = "" if evaluation._by_class is None else f"<pre>{escape(str(evaluation._by_class))}</pre>"
    return _table(evaluation.name, rows) + _line(protocol) + by_class


def of_result(result: TrainingResult) -> str:
    """How it ended, the training loss, and the validation score where there is one."""
    metric = None if result.best is None else {**METRICS, LOSS: OWN_LOSS}.get(result.best["metric"])
    drawn = _curves(result, metric) if result.history else ""
    return f"<p>{escape(str(result))}</p>{drawn}"


def of_episode(episode: Episode) -> str:
    """The support of images by class, or the facts; of a batch, the first task."""
    batch = is_labels(episode.support.y) and episode.support.y.ndim == 2  # of targets the shapes do not tell
    first, of = (episode[0], f", the first of {len(episode)}") if batch else (episode, "")
    if is_images(first.support.x) and first.support.ways is not None:
        return f"<p>{escape(repr(first))}{of}</p>{support_pictures(first.support, first.class_names)}"
    names = first.class_names
    classes = [] if names is None else [f"classes: {', '.join(map(str, names))}"]
    return _table(f"Episode{of}", [f"support: {first.support}", f"query: {first.query}", *classes])


def of_tasks(tasks: TaskDistribution) -> str | None:
    """One task's support of images, class by class; None for tasks without images."""
    batch: Any = tasks.sample(1, generator=torch.Generator().manual_seed(0))
    if not isinstance(batch, Episode) or not is_images(batch[0].support.x) or batch.support.ways is None:
        return None
    return f"<p>{escape(repr(tasks))}</p>{support_pictures(batch[0].support, batch[0].class_names)}"


def _curves(result: TrainingResult, metric: Metric | None) -> str:
    curves = learning_curves(result.history, metric or METRICS["accuracy"])
    drawn = plots.training_loss(curves)
    if curves.best is not None and metric is not None:
        drawn += plots.validation(curves.validation, curves.best, metric)
    drawn = drawn.replace("<svg ", '<svg style="max-width: 460px; background: white" ')
    return f'<div style="{variables(LIGHT)}">{drawn}</div>'


def _table(head: str, rows: Sequence[str]) -> str:
    cells = "".join(f'<tr><td style="text-align: left">{escape(row)}</td></tr>' for row in rows)
    return f"<table><thead><tr><th>{escape(head)}</th></tr></thead><tbody>{cells}</tbody></table>"


def _line(facts: Mapping[str, Any]) -> str:
    return f"<p>{escape(', '.join(f'{key} {value}' for key, value in facts.items()))}</p>"
