"""compare: several learners on the same episodes, with paired differences.

d_i = s_i(first) - s_i(other)  on the same task i, where both are defined;      mean and 95 % interval of d
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import Evaluation, evaluate, interval
from quickstudy.evaluation.metrics import Metric
from quickstudy.learners.learner import Learner

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


@dataclass
class Difference:
    """The paired difference first - other over the same episodes, with half the width of its 95 % interval."""

    first: str
    other: str
    mean: float
    ci95: float


@dataclass
class Comparison:
    """Evaluations on the same episodes, and the differences of the first to each of the others."""

    evaluations: list[Evaluation]
    differences: list[Difference]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(map(repr, self.evaluations))})"

    def __str__(self) -> str:
        rows = [str(evaluation) for evaluation in self.evaluations]
        rows += [f"{d.first} - {d.other}: {d.mean:+.4f} +- {d.ci95:.4f} (paired)" for d in self.differences]
        return "\n".join(rows)


@checked
def compare(
    learners: Sequence[Learner],
    tasks: TaskDistribution,
    episodes: PositiveInt = 600,
    seed: int = 0,
    *,
    names: Sequence[str] | None = None,
    metrics: Sequence[str | Metric] | None = None,
) -> Comparison:
    """Score learners on the same `episodes` tasks; the differences are in the first metric.

    Args:
        names: the learners' names in the table.
        metrics: as in `evaluate`.

    Raises:
        ArgumentError: fewer than two learners; another number of names.

    Examples:
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> learners = [qs.Prototypical(torch.nn.Identity()), qs.NearestCentroid(torch.nn.Identity())]
        >>> comparison = qs.compare(learners, tasks.test, episodes=5, names=["prototypes", "centroids"])
        >>> [f"{d.first} - {d.other}" for d in comparison.differences]
        ['prototypes - centroids']
    """
    if len(learners) < 2:
        raise ArgumentError("learners", expected="two or more", got=str(len(learners)), do="Use evaluate for one.")
    if names is not None and len(names) != len(learners):
        raise ArgumentError(
            "names", expected=f"{len(learners)}, one for each learner", got=str(len(names)), do="Name every learner, or none."
        )
    evaluations = [evaluate(learner, tasks, episodes, seed, metrics=metrics) for learner in learners]
    for evaluation, name in zip(evaluations, names or (), strict=bool(names)):
        evaluation.name = name
    first = evaluations[0]
    differences = []
    for other in evaluations[1:]:
        paired = [a - b for a, b in zip(first.per_episode, other.per_episode, strict=True) if not math.isnan(a - b)]
        differences.append(Difference(first.name, other.name, *interval(paired)))
    return Comparison(evaluations, differences)
