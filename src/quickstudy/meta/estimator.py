"""Estimators: which scalar of an episode is differentiated, and so in which direction phi moves.

An estimator defines what to draw from the tasks and which loss to lower on it; an executor differentiates that loss in phi.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.episode import Examples
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome

if TYPE_CHECKING:
    from quickstudy.learners.bilevel.training_run import TrainingRun
    from quickstudy.meta.executors import Executor
    from quickstudy.meta.problem import Answer, Problem
    from quickstudy.tasks.distribution.interface import TaskDistribution


class Estimator(ABC):
    """The interface of an estimator of the across-task gradient.

    One that takes a derivative defines `objective`, whose gradient an executor takes; one that needs values only
    (`differentiates` is False) defines `estimate`. For training runs (`meta/carried.py`), `init` defines what is carried.
    """

    differentiates = True  # whether its answer is the derivative of its objective

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> Any:
        """The batch of one outer step, with a leading axis `tasks` of length n."""
        return tasks.sample(n, generator=generator)

    @abstractmethod
    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        """The scalar of one task to differentiate in phi, with the task's log, statistics and carry.

        `learner` is a private copy for this call; its parameters are phi.
        """

    def estimate(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """The answer over a batch, for an estimator that does not differentiate."""
        raise NotImplementedError(f"{type(self).__name__} differentiates its objective")

    def init(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        """The initial carry of a training run: a tree of tensors."""
        return run.init(task, seed)

    def check(self, learner: Learner) -> None:
        """Raise UnsupportedError where this estimator cannot serve the learner."""
