"""Learning curves: the lines that a report draws from the records of a meta-training.

s_t  =  sum_{i <= t} d^(t-i) l_i  /  sum_{i <= t} d^(t-i),        d = 1 - 1/span         l: training loss        (1)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quickstudy.evaluation.metrics import Metric


@dataclass(frozen=True)
class Point:
    """A score with half of its 95 % interval, at a step, at a number of inner steps or at a number of shots."""

    at: int
    mean: float
    ci95: float


@dataclass(frozen=True)
class LearningCurves:
    """The training loss at each meta-step, raw and smoothed over `span` steps, the validation scores and the best one."""

    steps: list[int]
    losses: list[float]
    smoothed: list[float]
    span: int
    validation: list[Point]
    best: Point | None

    @property
    def lowest(self) -> int | None:
        """The index at which the smoothed loss is lowest; None where none is finite."""
        finite = [index for index, loss in enumerate(self.smoothed) if math.isfinite(loss)]
        return min(finite, key=self.smoothed.__getitem__, default=None)


def learning_curves(history: Sequence[Mapping[str, Any]], metric: Metric) -> LearningCurves:
    """The curves of a run's `history`; empty if nothing was meta-trained."""
    losses = [float(record["loss"]) for record in history]
    span = max(len(losses) // 40, 1)
    validation = [
        Point(int(record["step"]), float(record["validation"]), float(record.get("validation_ci95", 0.0)))
        for record in history
        if record.get("validation") is not None
    ]
    best = max(validation, key=lambda point: metric.gain(point.mean, 0.0), default=None)  # of equals the first, as kept
    return LearningCurves([int(record["step"]) for record in history], losses, smoothed(losses, span), span, validation, best)


def smoothed(values: Sequence[float], span: int) -> list[float]:
    """(1) of the finite values: weights that fall by 1/span a step, without a bias towards 0 at the start."""
    decay, total, weight, means = 1 - 1 / span, 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            total, weight = decay * total + value, decay * weight + 1
        means.append(total / weight if weight else math.nan)
    return means
