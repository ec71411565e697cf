"""ReptileDirection: from the initial weights to the adapted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.estimator import Estimator


@checked
@dataclass(frozen=True)
class ReptileDirection(Estimator):
    """Reptile's direction  phi - theta_K,  as the gradient of  1/2 || phi - stop(theta_K) ||^2.

    Args:
        all_examples: adapt on support and query together, as Reptile's own code trains on every example it has; otherwise on
            the support alone.

    Source: Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018, algorithm 1. An outer SGD with rate
    epsilon then moves phi <- phi + epsilon (theta_K - phi).

    Examples:
        >>> from quickstudy.meta.estimators import Joint, ReptileDirection
        >>> learner, batch = qs.MAML(qs.models.mlp(1, 1), inner_lr=0.1, inner_steps=1), qs.tasks.Sinusoid().train.sample(2)
        >>> _, direction = qs.meta_gradient(learner, batch, estimator=ReptileDirection())
        >>> _, slope = qs.meta_gradient(learner, qs.Episode(batch.support, batch.support), estimator=Joint())
        >>> all(torch.allclose(direction[name], 0.1 * slope[name], atol=1e-5) for name in slope)  # after one inner step
        True
    """

    all_examples: bool = False

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        if not isinstance(episode, Episode):
            raise _no_start(learner, "is trained on a stream, whose start is not adapted to a support")
        examples = _together(episode) if self.all_examples else episode.support
        with torch.no_grad():
            theta = learner.adapted(learner.state(examples, context))
        if theta is None:
            raise _no_start(learner, "adapts no parameters of its own")
        phi = dict(learner.named_parameters())
        distance = sum(((phi[name] - adapted.detach()) ** 2).sum() for name, adapted in theta.items())
        return Outcome(torch.as_tensor(distance) / 2, {}, {}, ())

    def check(self, learner: Learner) -> None:
        if not learner.adapts_parameters:
            raise _no_start(learner, "adapts no parameters")


def _no_start(learner: Learner, why: str) -> UnsupportedError:
    return UnsupportedError(
        "estimator",
        expected=f"one that serves {type(learner).__name__}, which {why}",
        got="ReptileDirection()",
        do="Use Backprop().",
    )


def _together(episode: Episode) -> Examples:
    return pytree.tree_map(lambda a, b: torch.cat([a, b]), episode.support, episode.query)
