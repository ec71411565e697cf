"""What a notebook shows of a result: HTML with the facts, curves and pictures, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from quickstudy.episode import Episode, is_labels
from quickstudy.errors import QuickstudyError
from quickstudy.evaluation.evaluate import Evaluation, Score
from quickstudy.evaluation.metrics import LOSS, METRICS, OWN_LOSS, Metric
from quickstudy.learners.facts import arguments, parameters, title
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.report import plots
from quickstudy.report.curves import learning_curves
from quickstudy.report.page import LIGHT
from quickstudy.report.pictures import is_images, support_pictures
from quickstudy.report.style import variables
from quickstudy.targets import TokenLabels
from quickstudy.tasks.distribution.interface import TaskDistribution

if TYPE_CHECKING:
    from quickstudy.artifacts.run import Run
    from quickstudy.learners.learner import Learner
    from quickstudy.learners.predictor import Predictor

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
    drawn = _drawn(result.history, result.best, metric) if result.history else ""
    return f"<p>{escape(str(result))}</p>{drawn}"


def of_episode(episode: Episode) -> str:
    """The support of images by class, or the facts; of a batch, the first task."""
    axes = 3 if isinstance(episode.support.target, TokenLabels) else 2
    batch = is_labels(episode.support.y) and episode.support.y.ndim == axes  # of targets the shapes do not tell
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


def of_learner(learner: Learner) -> str:
    """What it is made of, how many numbers phi has, and how it normalises."""
    normalisation = {} if learner.normalisation is None else {"normalisation": learner.normalisation}
    return _facts(title(learner), normalisation | arguments(learner) | {"phi": f"{parameters(learner):,} parameters"})


def of_predictor(predictor: Predictor) -> str:
    """The learner, the classes or the kind of target, and the shape of what it takes and of what it has learned."""
    names = getattr(predictor.target, "names", None)
    classes = {} if names is None else {"classes": ", ".join(map(str, names))}
    shapes = [str(shape) for shape in predictor.features]
    rows = {"learner": repr(predictor.learner), "target": type(predictor.target).__name__, "ways": str(predictor.ways)}
    rows = rows if predictor.ways is not None else {key: value for key, value in rows.items() if key != "ways"}
    example = {"an example": ", ".join(shapes)} if shapes else {"support": "none"}
    return _facts("Predictor", rows | classes | example | {"state": repr(predictor.state)})


def of_run(run: Run) -> str:
    """How it stands, its score where there is one, and its training curves."""
    try:
        (learner, tasks), history, ended, scored = run.names, run.metrics, run.ended or {}, run.evaluation
        rows = {"learner": learner, "tasks": tasks or "", "state": run.state, "meta-steps": str(len(history))}
        best = ended.get("best")
        metric = None if best is None else {**METRICS, LOSS: OWN_LOSS}.get(best["metric"])
        if scored is not None:
            score = Score(scored["protocol"]["metric"], scored["mean"], scored["ci95"], [])
            rows["meta-test"] = f"{score.text()} over {scored['protocol']['episodes']} tasks"
        drawn = _drawn(history, best, metric) if history else ""
    except QuickstudyError as error:
        return _facts(f"Run {run.path}", {"not readable": str(error)})
    return _facts(f"Run {run.path}", {key: value for key, value in rows.items() if value}) + drawn


def _drawn(history: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, metric: Metric | None) -> str:
    """The curves of the training loss and, where there is one, of the validation score."""
    curves = learning_curves(history, metric or METRICS["accuracy"])
    drawn = plots.training_loss(curves)
    if curves.best is not None and best is not None and metric is not None:
        drawn += plots.validation(curves.validation, curves.best, metric)
    drawn = drawn.replace("<svg ", '<svg style="max-width: 460px; background: white" ')
    return f'<div style="{variables(LIGHT)}">{drawn}</div>'


def _facts(head: str, rows: Mapping[str, str]) -> str:
    """A table of names and values."""
    left = 'style="text-align: left"'
    cells = "".join(f"<tr><th {left}>{escape(key)}</th><td {left}>{escape(value)}</td></tr>" for key, value in rows.items())
    return f'<table><thead><tr><th colspan="2" {left}>{escape(head)}</th></tr></thead><tbody>{cells}</tbody></table>'


def _table(head: str, rows: Sequence[str]) -> str:
    cells = "".join(f'<tr><td style="text-align: left">{escape(row)}</td></tr>' for row in rows)
    return f"<table><thead><tr><th>{escape(head)}</th></tr></thead><tbody>{cells}</tbody></table>"


def _line(facts: Mapping[str, Any]) -> str:
    return f"<p>{escape(', '.join(f'{key} {value}' for key, value in facts.items()))}</p>"
