"""quickstudy report RUN: report.html of a run, with its controls on the same tasks."""

from __future__ import annotations

import copy
import sys
from typing import Any

from jsonargparse import ArgumentParser

import quickstudy as qs
from quickstudy.artifacts.run import Run
from quickstudy.cli.config import EASY, add_controls, build
from quickstudy.cli.names import LEARNERS, named
from quickstudy.evaluation import Evaluation
from quickstudy.evaluation.calibration import CALIBRATION, Calibration
from quickstudy.report import write_report
from quickstudy.report.write import REPORT


def report(argv: list[str]) -> int:
    """The command `report`."""
    made = ArgumentParser(prog="quickstudy report", description="Write report.html of a finished run.")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks of the score")
    add_controls(made)
    options = made.parse_args(argv)
    run = Run(options.run)
    result = qs.evaluate(run.learner, run.tasks.test, options.episodes, progress=True)
    print(reported(run, result, options.controls))
    return 0


def reported(run: Run, result: Evaluation, controls: str) -> str:
    """Write the report and return a line with its path."""
    folder = run.path
    scores = _easy(run, result) if controls == EASY else [_trained(run, name, result) for name in _names(controls)]
    write_report(
        folder / REPORT,
        learner=run.learner,
        tasks=run.tasks,
        history=run.metrics,
        evaluation=result,
        config=run.config,
        controls=scores,
        calibration=Calibration.load(folder) if (folder / CALIBRATION).is_file() else None,
        episodes=min(200, result.protocol["episodes"]),
        progress=True,
    )
    return f"report: {folder / REPORT}"


def _names(controls: str) -> list[str]:
    return [] if controls == "none" else controls.split(",")


def _easy(run: Run, result: Evaluation) -> list[Evaluation]:
    """The controls that need no training."""
    scores = []
    if run.tasks.train.ways is not None:
        scores.append(_evaluated(qs.NearestCentroid(), run, result, "nearest centroid of the inputs"))
    if hasattr(run.learner, "inner_steps"):
        scores.append(_evaluated(run.learner, run, result, f"{result.name}, before it adapts", steps=0))
    return scores


def _trained(run: Run, name: str, result: Evaluation) -> Evaluation:
    """The control of this name, trained with the run's settings if it is trainable."""
    named("--controls", name, LEARNERS)
    config: dict[str, Any] = copy.deepcopy(run.config)
    config["learner"] = {"name": name}
    tasks, learner = build(config)
    print(f"control {name} ...", file=sys.stderr)
    qs.meta_train(learner, tasks, **config["train"], progress=True)
    return _evaluated(learner, run, result, name)


def _evaluated(learner: qs.Learner, run: Run, result: Evaluation, name: str, steps: int | None = None) -> Evaluation:
    """The score of a control on the tasks of the run's evaluation."""
    protocol = result.protocol
    found = qs.evaluate(learner, run.tasks.test, protocol["episodes"], protocol["seed"], steps, progress=True)
    found.name = name
    return found
