"""Estimators: what scalar of an episode is differentiated, and so which direction phi is moved in.

An estimator says what to draw from the tasks and what to lower on it; an executor differentiates that with respect to phi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.context import Context
from quickstudy.forward.derivatives import stop
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window, follow

if TYPE_CHECKING:
    from quickstudy.learners.bilevel.training_run import TrainingRun
    from quickstudy.meta.executors import Executor
    from quickstudy.meta.problem import Answer, Problem
    from quickstudy.tasks.distribution.interface import TaskDistribution


class Estimator(ABC):
    """The interface of an estimator of the across-task gradient.

    One that takes a derivative defines `objective`, whose gradient an executor takes; one that needs values only
    (`differentiates` is False) defines `estimate`. For carried training runs (`meta/carried.py`) it says what is carried.
    """

    differentiates = True  # whether its answer is the derivative of its objective

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> Any:
        """What one outer step learns from, with a leading axis `tasks` of length n."""
        return tasks.sample(n, generator=generator)

    @abstractmethod
    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        """The scalar of one task that is differentiated with respect to phi, and what else comes of the task.

        `learner` is a private copy, for this call alone, which holds phi.
        """

    def estimate(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """The answer of an estimator that does not differentiate, over the tasks of a batch."""
        raise NotImplementedError(f"{type(self).__name__} differentiates its objective")

    def begin(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        """What is carried of a training run, at its beginning: a tree of tensors."""
        return run.begin(task, seed)

    def check(self, learner: Learner) -> None:
        """Raise UnsupportedError where this estimator cannot serve the learner."""


@dataclass(frozen=True)
class Backprop(Estimator):
    """The gradient of the query loss,  d/dphi L(F_phi(support), query), by backpropagation.

    How it passes through an inner loop is the learner's `hypergradient`. Over the windows of a carried run the state is cut
    between windows: truncated backpropagation through time, exact where one window is the whole run.
    """

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        if isinstance(episode, Window):
            scope = learner.scope(context)
            with scope:
                loss, state = follow(cast("TrainingRun", learner), episode, criterion)
            return Outcome(loss, {}, {}, stop(state))
        return learner.outcome(episode, context, criterion)


@dataclass(frozen=True)
class ReptileDirection(Estimator):
    """Reptile's direction  phi - theta_K,  as the gradient of  1/2 || phi - stop(theta_K) ||^2.

    Args:
        all_examples: adapt on support and query together, as Reptile's own code trains on every example it has; otherwise on
            the support alone.

    Source: Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018, algorithm 1. An outer SGD with rate
    epsilon then moves phi <- phi + epsilon (theta_K - phi).
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
