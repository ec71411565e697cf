"""The score of a learner on a mixture: each family by itself, and their mean.

mean = 1/F sum_f mean_f,      ci95 = 1/F sqrt( sum_f ci95_f^2 )         F families, each scored on as many tasks as are asked for
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from quickstudy.evaluation.evaluate import Evaluation, evaluate
from quickstudy.evaluation.metrics import LOSS, Metric, chosen, metric_named
from quickstudy.learners.learner import Learner
from quickstudy.tasks.construction.mixture import MixedTasks, OfFamily

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


@dataclass(repr=False)
class MixtureEvaluation(Evaluation):
    """The scores on a mixture.

    The score is the mean of the families' means. Where the default scores of the families differ, as for classes beside values,
    it is the mean of their losses, and `families` has the score of each.

    Attributes:
        families: the evaluation on each family, by name.

    Examples:
        >>> few, more = (qs.tasks.GaussianClasses(ways=ways, dim=6) for ways in (2, 6))
        >>> tasks = qs.tasks.Mixture({"few": few, "more": more})
        >>> found = qs.evaluate(qs.Prototypical(torch.nn.Identity()), tasks.test, episodes=50)
        >>> round(found.mean - (found.families["few"].mean + found.families["more"].mean) / 2, 6)
        0.0
    """

    families: dict[str, Evaluation] = field(default_factory=dict)

    def __str__(self) -> str:
        mean = f"{self.name}: {self.score.text(self.metric)}, the mean of {len(self.families)} families"
        return "\n".join([mean, *(f"  {name}: {one}" for name, one in self.families.items())])


def evaluate_families(
    learner: Learner,
    tasks: MixedTasks,
    episodes: int,
    seed: int,
    steps: int | None,
    *,
    metrics: Sequence[str | Metric] | None = None,
    **options: Any,
) -> MixtureEvaluation:
    """Score each family on `episodes` tasks; arguments as for `evaluate`."""
    if metrics is None and (score := score_of(tasks)).name == LOSS:
        asked: dict[str, Any] = {name: [score, *default_metrics(part)] for name, part in tasks.parts.items()}
    else:
        asked = dict.fromkeys(tasks.parts, None if metrics is None else list(metrics))
    families = {
        name: evaluate(learner, OfFamily(part, name), episodes, seed, steps, metrics=asked[name], **options)
        for name, part in tasks.parts.items()
    }
    each = list(families.values())
    protocol = {**each[0].protocol, **dict.fromkeys(("ways", "shots", "queries")), "families": tasks.protocol["families"]}
    return MixtureEvaluation(
        sum(one.mean for one in each) / len(each),
        math.sqrt(sum(one.ci95**2 for one in each)) / len(each),
        [value for one in each for value in one.per_episode],
        protocol,
        sum(one.seconds for one in each) / len(each),
        max((one.peak_mb for one in each if one.peak_mb is not None), default=None),
        each[0].name,
        _metrics=[each[0].metric],
        families=families,
    )


def score_of(tasks: MixedTasks) -> Metric:
    """The metric that all families have as their score; the loss where these differ."""
    first = [default_metrics(part)[0] for part in tasks.parts.values()]
    return first[0] if len({one.name for one in first}) == 1 else metric_named(LOSS)


def loss_of(evaluation: Evaluation) -> float:
    """The mean loss of an evaluation that was asked for it."""
    return evaluation.mean if evaluation.metric.name == LOSS else evaluation.others[LOSS].mean


def default_metrics(tasks: TaskDistribution) -> list[Metric]:
    """Those of the kind of target."""
    return chosen(None, tasks.sample(1, generator=torch.Generator().manual_seed(0)).query.target)
