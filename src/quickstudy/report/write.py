"""write_report: a run as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from quickstudy.arguments import checked
from quickstudy.artifacts.environment import environment
from quickstudy.evaluation.calibration import Calibration
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.files import write_text
from quickstudy.learners.learner import Learner
from quickstudy.report import classes, leaderboard, sections
from quickstudy.report.conclusion import against
from quickstudy.report.curves import learning_curves
from quickstudy.report.data import Data, data_of
from quickstudy.report.measures import Measures, measure
from quickstudy.report.page import page
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import TaskDistribution

REPORT = "report.html"


@checked
def write_report(
    path: str | Path,
    *,
    learner: Learner,
    tasks: TaskFamily | TaskDistribution,
    history: Sequence[Mapping[str, Any]],
    evaluation: Evaluation,
    config: Mapping[str, Any] | None = None,
    controls: Sequence[Evaluation] = (),
    calibration: Calibration | None = None,
    episodes: int = 200,
    seed: int | None = None,
    progress: bool = False,
) -> Path:
    """Write the report of a run: one file that includes its pictures and opens offline.

    Args:
        path: the file to write; for a folder, report.html in it.
        learner: the trained learner.
        tasks: the family (its `.test` is read) or the meta-test tasks themselves.
        history: the records of meta-training, `run.history`; empty for a learner that was not meta-trained.
        evaluation: `evaluate(learner, tasks.test)`: the headline score.
        controls: evaluations of the learners to beat, preferably on the same tasks.

    Other Args:
        config: the resolved config of the run, plain data.
        calibration: the result of `calibrate`; the reliability diagram then also shows its temperature scaling.
        episodes: meta-test tasks for each point of a curve.
        seed: of those tasks; None: the evaluation's seed, so that they are the first tasks of the evaluation.
        progress: show a progress bar on stderr.

    Returns:
        The path of the file.

    Raises:
        ArgumentError: fewer than two episodes; a control was scored by another metric.
        NotFiniteError: a prediction is NaN or infinite.
        TaskError: the tasks cannot supply episodes of the evaluation's protocol.
    """
    metric = evaluation.metric
    against(evaluation, controls, metric)  # fails before the long work
    test = _under(tasks.test if isinstance(tasks, TaskFamily) else tasks, evaluation)
    seed = int(evaluation.protocol["seed"]) if seed is None else seed
    measures = measure(learner, test, evaluation, calibration=calibration, episodes=episodes, seed=seed, progress=progress)
    path = Path(path) / REPORT if Path(path).is_dir() else Path(path)
    data = data_of(tasks, test, config)
    html = draw(evaluation, measures, history=history, controls=controls, config=config, calibration=calibration, data=data)
    write_text(path, html)
    return path


def draw(
    evaluation: Evaluation,
    measures: Measures,
    *,
    history: Sequence[Mapping[str, Any]] = (),
    controls: Sequence[Evaluation] = (),
    config: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
    data: Data | None = None,
) -> str:
    """Render the report as HTML from numbers that are already measured; `data` names the data set."""
    metric = evaluation.metric
    rows = against(evaluation, controls, metric)
    chance = metric.chance(evaluation.protocol)
    temperature = None if calibration is None else calibration.temperature
    name = evaluation.name or "learner"
    by_steps = sections.inner_steps(measures, metric, chance)
    by_shots = sections.shots(measures, metric, chance, evaluation.protocol["shots"])
    parts = [
        [("Controls", leaderboard.controls(evaluation, rows, metric))],
        [("Learning curves", sections.learning_curves(learning_curves(history, metric), metric))],
        [("Inner steps", by_steps), ("Shots", by_shots)],
        [("Scores", sections.scores(evaluation, metric))],
        [("Classes", classes.by_class(evaluation._by_class))],
        [("Reliability", sections.reliability(measures, temperature))],
        [("Tasks", sections.episodes(measures, metric))],
        [("Config", _config(config, evaluation, measures))],
    ]
    on = "" if data is None else f" on {data.name}"
    title = f"{name}{on}, {leaderboard.shape(evaluation)}: report"
    return page(title, leaderboard.headline(evaluation, rows, metric, data), parts)


def _config(config: Mapping[str, Any] | None, evaluation: Evaluation, measures: Measures) -> str:
    """Everything needed to repeat the run, folded."""
    blocks = [] if config is None else [("Resolved config", f"<pre>{escape(_yaml(config))}</pre>")]
    protocol = {**evaluation.protocol, "report episodes": measures.episodes, "report seed": measures.seed}
    blocks.append(("Protocol of the evaluation", f"<pre>{escape(_yaml(protocol))}</pre>"))
    blocks.append(("Environment", sections.table(["", ""], [[key, value] for key, value in environment().items()])))
    body = "".join(f"<details><summary>{title}</summary>{html}</details>" for title, html in blocks)
    return sections.section("config", "Config and environment", "Everything needed to repeat this run.", body)


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True, width=100)


def _plain(value: Any) -> Any:
    """Plain data; other objects become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _under(test: TaskDistribution, evaluation: Evaluation) -> TaskDistribution:
    """The tasks with the protocol of the evaluation."""
    sizes = {name: evaluation.protocol.get(name) for name in ("ways", "shots", "queries")}
    given: dict[str, Any] = {name: tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}
    if hasattr(test, "columns"):
        given["within"] = evaluation.protocol.get("within", False)
    return test.with_(**given)
