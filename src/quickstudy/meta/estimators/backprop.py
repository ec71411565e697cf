"""Backprop: the gradient of the query loss, and of the support loss before adaptation where that counts too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.errors import UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.forward.derivatives import stop
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window, follow
from quickstudy.meta.estimator import Estimator

if TYPE_CHECKING:
    from quickstudy.learners.bilevel.training_run import TrainingRun


@checked
@dataclass(frozen=True)
class Backprop(Estimator):
    """The gradient of the query loss,  d/dphi L(F_phi(support), query), by backpropagation.

    How it passes through an inner loop is the learner's `hypergradient`. Over the windows of a carried run the state is cut
    between windows: truncated backpropagation through time, exact where one window is the whole run.

    Args:
        before: b, the weight of the support loss at phi itself, for learners that descend:

            L(F_phi(support), query)  +  b L(f_phi, support)

            With b = 1, one inner step and a support and a query from different domains it is MLDG, whose network answers in a new
            domain as it is, without a support: `evaluate(learner, tasks, inner_steps=0)`.

    Raises:
        ArgumentError: before below 0.
        UnsupportedError: when it is used, `before` for a learner without inner steps.

    Source: Li, Yang, Song & Hospedales, "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI 2018, eq. 3
    and algorithm 1, whose beta weighs the query loss: before = 1 / beta, up to the outer rate.

    Examples:
        >>> learner, tasks = qs.MAML(qs.models.mlp(4, 3, hidden=(8,))), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> loss, gradient = qs.meta_gradient(learner, tasks.train.sample(2), estimator=qs.Backprop())
        >>> gradient.keys() == dict(learner.named_parameters()).keys()
        True
        >>> mldg = qs.Gradient(qs.Backprop(before=1.0))  # for meta_train(learner, tasks, outer=mldg)
    """

    before: NonNegativeFloat = 0.0

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        if isinstance(episode, Window):
            scope = learner.scope(context)
            with scope:
                loss, state = follow(cast("TrainingRun", learner), episode, criterion)
            return Outcome(loss, {}, {}, stop(state))
        after = learner.outcome(episode, context, criterion)
        if not self.before:
            return after
        prediction, _ = learner.answer(learner.state(episode.support, context, 0), episode.support.x, context)
        at_phi = learner.criterion_of(episode.support, criterion)(prediction, episode.support.y)
        return after._replace(loss=after.loss + self.before * at_phi)

    def check(self, learner: Learner) -> None:
        if self.before and not isinstance(learner.innermost, Descent):
            raise UnsupportedError(
                "before",
                expected=f"0 for {type(learner).__name__}, which does not descend from phi",
                got=f"Backprop(before={self.before:g})",
                do="Use Backprop().",
            )
