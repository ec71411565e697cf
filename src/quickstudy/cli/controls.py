"""The learners to beat, `--controls`: refused before anything is trained, scored on the tasks of the run's evaluation."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import quickstudy as qs
from quickstudy.artifacts.rebuilding import build_learner
from quickstudy.artifacts.run import Run
from quickstudy.artifacts.store import load
from quickstudy.cli.ends import EASY, names_of
from quickstudy.evaluation import Evaluation
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing


def check_controls(controls: str, config: dict[str, Any], tasks: Any) -> None:
    """Build each control and let it answer two tasks, so that one that does not fit them is refused before the long work.

    Raises:
        QuickstudyError: that of the control.
    """
    for name in names_of(controls):
        learner = _built(name, config, tasks)
        learner.prepare(tasks.train)
        qs.evaluate(learner, tasks.train, 2)


def scores(run: Run, result: Evaluation, controls: str) -> list[Evaluation]:
    """The controls' scores on the tasks of `result`."""
    return _easy(run, result) if controls == EASY else [_trained(run, name, result) for name in names_of(controls)]


def _easy(run: Run, result: Evaluation) -> list[Evaluation]:
    """The controls that need no training."""
    found = []
    if run.tasks.train.ways is not None:
        reads = run.preprocessing or RecordedPreprocessing()
        control = qs.NearestCentroid(reads.plain_features())
        found.append(_evaluated(control, run, result, f"nearest centroid of {reads.untrained}"))
    if (start := run.config["train"].get("start")) is not None:
        found.append(_evaluated(load(start), run, result, f"{Path(start).name}, with which it began"))
    if hasattr(run.learner, "inner_steps"):
        found.append(_evaluated(run.learner, run, result, f"{result.name}, before it adapts", steps=0))
    return found


def _trained(run: Run, name: str, result: Evaluation) -> Evaluation:
    """The control of this name, trained with the run's settings if it is trainable."""
    learner = _built(name, run.config, run.tasks)
    print(f"control {name} ...", file=sys.stderr)
    qs.meta_train(learner, run.tasks, **run.config["train"], progress=True)
    return _evaluated(learner, run, result, name)


def _built(name: str, config: dict[str, Any], tasks: Any) -> qs.Learner:
    own = copy.deepcopy(config)
    own["learner"] = {"name": name}
    return build_learner(own, tasks)


def _evaluated(learner: Any, run: Run, result: Evaluation, name: str, steps: int | None = None) -> Evaluation:
    """The score of a control on the tasks of the run's evaluation."""
    protocol = result.protocol
    found = qs.evaluate(learner, run.tasks.test, protocol["episodes"], protocol["seed"], steps, progress=True)
    found.name = name
    return found
