"""The score function: gradients of an expectation over discrete draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.call import with_tensors
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.models.choice import choices, drawn
from quickstudy.random import stateless_seed


@checked
@dataclass(frozen=True)
class ScoreFunction(Estimator):
    """REINFORCE with a baseline, for a phi that holds `Choice(n, use="sampled")`.

        d/dphi E_{c ~ p_phi} [ L(c, phi) ]  =  E [ (L - b) d log p_phi(c)/dphi  +  dL(c, phi)/dphi ]             (1)

    The second term is the gradient of the rest of phi. L is the loss of the whole episode. The baseline b of a draw is the mean
    loss of the other draws on the same episode, so (1) stays unbiased.

    Args:
        draws: draws of the choices per episode.
        baseline: False: b = 0, the plain and noisy form.

    Raises:
        ArgumentError: fewer than 2 draws with a baseline, fewer than 1 without.

    Source: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992, eq. 6;
    baseline of the others: Kool, van Hoof & Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019, eq. 8.

    Examples:
        >>> from quickstudy.meta.estimators import ScoreFunction
        >>> learner = qs.Architecture(qs.models.search_cell(4, 3, width=4), steps=2, use="sampled")
        >>> batch = qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(2)
        >>> _, gradient = qs.meta_gradient(learner, batch, estimator=ScoreFunction(draws=4))
        >>> {name: tuple(one.shape) for name, one in gradient.items()}
        {'choices.0.logits': (4,), 'choices.1.logits': (4,), 'choices.2.logits': (4,)}
    """

    draws: int = 4
    baseline: bool = True

    def __post_init__(self) -> None:
        least = 2 if self.baseline else 1
        if self.draws < least:
            raise ArgumentError(
                "draws", expected=f"{least} or more" + ", for a baseline" * self.baseline, got=str(self.draws), do="4 are cheap."
            )

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        outcomes, scores = [], []
        for i in range(self.draws):
            outcome, score = with_tensors(learner, {}, lambda one, i=i: self._drawn(one, episode, criterion, context, i))  # type: ignore[misc]
            outcomes.append(outcome)
            scores.append(score)
        L, log_p = torch.stack([one.loss for one in outcomes]), torch.stack(scores)
        fixed = L.detach()
        b = (fixed.sum() - fixed) / (self.draws - 1) if self.baseline else torch.zeros_like(fixed)
        surrogate = (fixed - b) * (log_p - log_p.detach()) + L  # value L, gradient (1)
        return outcomes[0]._replace(loss=surrogate.mean())

    def _drawn(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context, i: int) -> tuple[Outcome, Tensor]:
        """The outcome under draw i of every choice, and the log-probability of that draw."""
        with drawn(learner, stateless_seed(context.seed, i)) as found:
            outcome = Backprop().objective(learner, episode, criterion, context)
            return outcome, torch.stack([c.log_probability for c in found if c.log_probability is not None]).sum()

    def check(self, learner: Learner) -> None:
        if not any(choice.use == "sampled" for choice in choices(learner)):
            raise UnsupportedError(
                "estimator",
                expected=f"one that serves {type(learner).__name__}, which has no distribution to draw from",
                got="ScoreFunction()",
                do="Use Backprop() or Evolution(), or give the learner a Choice(n, use='sampled').",
            )
