"""Values: the outer loss without a gradient, for searches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt
from quickstudy.episode import Examples
from quickstudy.forward.context import Context
from quickstudy.learners.bilevel.training_run import TrainingRun
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.carried import Window
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.estimators.evolution import copies, evaluated, scored, swapped
from quickstudy.meta.problem import Answer, Problem

if TYPE_CHECKING:
    from quickstudy.meta.executors import Executor


@dataclass(frozen=True)
class Values(Estimator):
    """The outer loss of every task, and no gradient.

    Args:
        members: copies of a training run to carry, each with a state of its own; None: the run itself.
    """

    members: PositiveInt | None = None

    differentiates = False

    def init(self, run: TrainingRun, task: Examples, seed: int) -> Any:
        state = run.init(task, seed)
        return state if self.members is None else copies(state, self.members)

    def objective(self, learner: Learner, episode: Any, criterion: Loss | None, context: Context) -> Outcome:
        return Backprop().objective(learner, episode, criterion, context)

    def estimate(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """The losses of phi itself, and zeros."""
        n = self.members or 1
        phi = {name: value.detach().expand(n, *value.shape) for name, value in problem.phi().items()}
        carries = swapped(episodes.carry) if isinstance(episodes, Window) and self.members else None
        losses = evaluated(executor, problem, phi, episodes, seeds, carries).loss
        return Answer(scored(losses).mean(0), {}, {name: torch.zeros_like(value[0]) for name, value in phi.items()}, {}, ())
