"""Backprop: the gradient of the query loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from quickstudy.arguments import checked
from quickstudy.forward.context import Context
from quickstudy.forward.derivatives import stop
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

    Examples:
        >>> learner, tasks = qs.MAML(qs.models.mlp(4, 3, hidden=(8,))), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> loss, gradient = qs.meta_gradient(learner, tasks.train.sample(2), estimator=qs.Backprop())
        >>> gradient.keys() == dict(learner.named_parameters()).keys()
        True
    """

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        if isinstance(episode, Window):
            scope = learner.scope(context)
            with scope:
                loss, state = follow(cast("TrainingRun", learner), episode, criterion)
            return Outcome(loss, {}, {}, stop(state))
        return learner.outcome(episode, context, criterion)
