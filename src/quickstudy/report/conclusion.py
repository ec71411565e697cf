"""The conclusion: a learner compared with its controls, in numbers and in one plain sentence.

d_i = s_i(learner) - s_i(control)   on the same task i, if both were scored on the same tasks;   mean +- 1.96 std / sqrt(n)
otherwise                            d = mean - mean,   sqrt(ci^2 + ci^2)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import Evaluation, interval
from quickstudy.evaluation.metrics import Metric

SAME_TASKS = ("ways", "shots", "queries", "episodes", "seed", "within")


@dataclass(frozen=True)
class Against:
    """The learner against one control. `gain` is positive if the learner is better; `ci95` is half of its interval."""

    control: Evaluation
    gain: float
    ci95: float
    paired: bool
    same_protocol: bool

    @property
    def winner(self) -> Literal["learner", "control", "neither"]:
        """Which one is better by more than the interval."""
        if self.gain > self.ci95:
            return "learner"
        return "control" if self.gain < -self.ci95 else "neither"


def against(evaluation: Evaluation, controls: Sequence[Evaluation], metric: Metric) -> list[Against]:
    """The learner against each control, the strongest control first.

    Raises:
        ArgumentError: a control was scored by another metric.
    """
    rows = []
    for control in controls:
        if control.protocol["metric"] != metric.name:
            raise ArgumentError(
                "controls",
                expected=f"evaluations by {metric.name}, as the learner's",
                got=f"{control.name!r} by {control.protocol['metric']}",
                do="Leave it out, or evaluate it on these tasks.",
            )
        same = {key: evaluation.protocol.get(key) for key in SAME_TASKS} == {key: control.protocol.get(key) for key in SAME_TASKS}
        paired = same and len(evaluation.per_episode) == len(control.per_episode) > 1
        if paired:
            pairs = zip(evaluation.per_episode, control.per_episode, strict=True)
            gain, ci95 = interval([metric.gain(score, other) for score, other in pairs if not math.isnan(score - other)])
        else:
            gain, ci95 = metric.gain(evaluation.mean, control.mean), math.hypot(evaluation.ci95, control.ci95)
        rows.append(Against(control, gain, ci95, paired, same))
    return sorted(rows, key=lambda row: row.gain)


def conclusion(name: str, rows: Sequence[Against], metric: Metric) -> str:
    """Say in one sentence whether a control wins."""
    if not rows:
        return "No control was scored, so nothing here says whether meta-training was worth it."
    wins = [row for row in rows if row.winner == "control"]
    draws = [row for row in rows if row.winner == "neither"]
    if wins:
        names = _listed([row.control.name for row in wins])
        does = "does" if len(wins) == 1 else "do"
        return f"A control wins: {names} {does} better than {name} on these tasks{_by(wins[0], metric)}."
    if draws:
        names = _listed([row.control.name for row in draws])
        return f"No control wins, but {names} cannot be told apart from {name} on these tasks{_by(draws[0], metric)}."
    every = {1: "the only control", 2: "both controls"}.get(len(rows), f"all {len(rows)} controls")
    return (
        f"No control wins: {name} is better than {every}. The strongest, {rows[0].control.name}, is behind{_by(rows[0], metric)}."
    )


def points(gain: float, metric: Metric, ci95: float) -> str:
    """A difference as text: 3.10 ± 0.42 points of accuracy, or 0.12 ± 0.03 of mean squared error."""
    if metric.percent:
        return f"{100 * gain:.2f} ± {100 * ci95:.2f} points"
    return f"{gain:.3g} ± {ci95:.2g}"


def _by(row: Against, metric: Metric) -> str:
    if row.winner == "neither":
        return f" (difference {points(row.gain, metric, row.ci95)})"
    return f" by {points(abs(row.gain), metric, row.ci95)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
