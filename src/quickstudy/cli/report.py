"""quickstudy report RUN: report.html of a run, with its controls on the same tasks."""

from __future__ import annotations

import sys

from quickstudy.artifacts.run import Run
from quickstudy.cli.controls import check_controls, scores
from quickstudy.cli.ends import add_controls, names_of
from quickstudy.cli.options import command, read, whole
from quickstudy.evaluation import Evaluation
from quickstudy.evaluation.calibration import CALIBRATION, Calibration
from quickstudy.report import write_report
from quickstudy.report.write import REPORT

POINT = 200  # meta-test tasks of each point of the curves, at most
TASKS = f"The score and each control take --episodes meta-test tasks, each point of the curves the first {POINT} of them."


def report(argv: list[str]) -> int:
    """The command `report`."""
    made = command("report", f"Write report.html of a finished run. {TASKS}")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks of the score")
    add_controls(made)
    options = read(made, argv)
    whole("--episodes", options.episodes, least=2)
    names_of(options.controls)  # names first: tasks may take a while to make
    run = Run(options.run)
    check_controls(options.controls, run.config, run.tasks)
    result = run.score(options.episodes, progress=True)
    print(reported(run, result, options.controls))
    return 0


def reported(run: Run, result: Evaluation, controls: str) -> str:
    """Write the report and return a line with its path; what it takes is said on stderr."""
    folder, episodes = run.path, result.protocol["episodes"]
    point = min(POINT, episodes)
    print(f"report: {episodes} tasks for each control, {point} for each point of the curves", file=sys.stderr)
    write_report(
        folder / REPORT,
        learner=run.learner,
        tasks=run.tasks,
        history=run.metrics,
        evaluation=result,
        config=run.config,
        controls=scores(run, result, controls),
        calibration=Calibration.load(folder) if (folder / CALIBRATION).is_file() else None,
        episodes=point,
        progress=True,
    )
    return f"report: {folder / REPORT}"
