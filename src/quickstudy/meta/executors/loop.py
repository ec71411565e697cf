"""The loop over tasks: the reference that every other executor must equal. Everything works in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quickstudy.learners.learner import Learner, Measures
from quickstudy.meta.executors.executor import Executor, differentiable_kernels, gathered
from quickstudy.meta.problem import Answer, Problem, bare, gradient, task, tasks_of
from quickstudy.network import Parameters


class Loop(Executor):
    """One task after another, each with a backward of its own, so that memory holds one task's graph."""

    name = "loop"

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        with differentiable_kernels(problem):
            return gathered([one_task(problem, task(episodes, t), seeds[t]) for t in range(tasks_of(episodes))])

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        with torch.no_grad():
            return torch.stack([function(learner, task(episodes, t)) for t in range(tasks_of(episodes))])


def one_task(problem: Problem, episode: Any, seed: Tensor) -> tuple[Tensor, Measures, Parameters]:
    """Loss, measures and gradient of one task, by plain autograd outermost: it does not keep the graph of its own backward."""
    phi = problem.phi()
    with torch.enable_grad():
        loss, measures = problem.function()(phi, problem.buffers_by_name(), episode, seed)
        return loss.detach(), {name: value.detach() for name, value in measures.items()}, bare(gradient(loss, phi))
