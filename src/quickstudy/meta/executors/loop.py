"""The loop over tasks: the reference that every other executor must equal. Everything works in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quickstudy.forward.call import Parameters
from quickstudy.forward.derivatives import stop
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.executors.executor import Executor, differentiable_kernels, gathered
from quickstudy.meta.problem import Answer, Function, Problem, gradient, task, tasks_of


class Loop(Executor):
    """One task after another, each with a backward of its own, so that memory holds one task's graph.

    Examples:
        >>> from quickstudy.meta.executors import Loop
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> one, two = (tasks.train.sample(1).map(lambda leaf: leaf[0]) for _ in range(2))
        >>> loss, first, second = (qs.meta_gradient(learner, some, executor=Loop())[0] for some in ([one, two], [one], [two]))
        >>> torch.allclose(loss, (first + second) / 2)
        True
    """

    name = "loop"

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        f = problem.function()
        with differentiable_kernels(problem.learner):
            return gathered([one_task(problem, f, task(episodes, t), seed) for t, seed in enumerate(seeds.tolist())])

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        with torch.no_grad():
            return torch.stack([function(learner, task(episodes, t)) for t in range(tasks_of(episodes))])


def one_task(problem: Problem, f: Function, episode: Any, seed: int) -> tuple[Outcome, Parameters]:
    """Outcome and gradient of one task, by plain autograd outermost: it does not keep the graph of its own backward."""
    phi = problem.phi()
    with torch.enable_grad():
        outcome = f(phi, {}, episode, seed)
        return stop(outcome), gradient(outcome.loss, phi)
