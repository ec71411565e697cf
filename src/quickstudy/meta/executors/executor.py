"""Executor: how the scalar of one task becomes the gradient over many. All give the loop's numbers, at different speed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import _pytree as pytree

from quickstudy.errors import ConvergenceError, NotFiniteError
from quickstudy.learners.learner import Learner, Measures
from quickstudy.meta.problem import Answer, Problem, task, tasks_of
from quickstudy.network import Parameters


class Executor(ABC):
    """The interface of an executor."""

    name: str

    @abstractmethod
    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """Losses, measures and the mean gradient over the tasks of a batch."""

    @abstractmethod
    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        """function(learner, episode) for each task of a batch, stacked; without a graph."""

    def values(
        self, problem: Problem, members: Parameters, episodes: Any, seeds: Tensor, own: Any = None
    ) -> tuple[Tensor, Measures]:
        """Losses (members, tasks) and measures of every task under every member of a population; without a graph.

        Here one after another; a task that fails in its inner loop has the loss NaN.

        Args:
            members: values of phi by name, each with a leading axis `members`.
            own: what each member carries of each task, (members, tasks, ...), in the place of the windows' carry.
        """
        f, buffers = problem.function(), problem.buffers_by_name()
        rows = []
        with torch.no_grad(), differentiable_kernels(problem):
            for i in range(next(iter(members.values())).shape[0]):
                phi = {name: value[i] for name, value in members.items()}
                mine = episodes if own is None else episodes._replace(carry=pytree.tree_map(lambda leaf: leaf[i], own))  # noqa: B023
                rows += [_tried(f, phi, buffers, task(mine, t), seeds[t]) for t in range(tasks_of(episodes))]
        good = next((measures for loss, measures in rows if measures is not None), {})
        filled = [
            {name: torch.full_like(one, torch.nan) if m is None else m[name] for name, one in good.items()} for _, m in rows
        ]
        like = next((loss for loss, measures in rows if measures is not None), seeds.new_zeros((), dtype=torch.float32))
        losses = torch.stack([loss.to(like) for loss, _ in rows]).unflatten(0, (-1, tasks_of(episodes)))
        return losses, {name: torch.stack([one[name] for one in filled]).unflatten(0, (-1, tasks_of(episodes))) for name in good}

    def refusal(self, problem: Problem) -> str | None:
        """Why this executor cannot serve the problem; None where it can be tried."""
        return None


FAILURES = (ConvergenceError, NotFiniteError, torch.linalg.LinAlgError)  # of an inner loop


def _tried(f: Callable, phi: Parameters, buffers: Parameters, episode: Any, seed: Tensor) -> tuple[Tensor, Measures | None]:
    try:
        return f(phi, buffers, episode, seed)
    except FAILURES:
        return seed.new_full((), torch.nan, dtype=torch.float32), None


@contextmanager
def differentiable_kernels(learner: nn.Module) -> Iterator[None]:
    """Only kernels that have a second derivative: plain attention, and recurrent nets without cuDNN."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in learner.modules())
    with sdpa_kernel(SDPBackend.MATH), _without_cudnn() if recurrent else nullcontext():
        yield


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """cuDNN off, and none of its other settings touched: `cudnn.flags` would set those that it is not told, tf32 on."""
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = enabled


def gathered(parts: Sequence[tuple[Tensor, Measures, Parameters]]) -> Answer:
    """The answers of single tasks as one, gradients summed in task order so that numbers repeat."""
    losses = torch.stack([loss for loss, _, _ in parts])
    measures = {name: torch.stack([one[name] for _, one, _ in parts]) for name in parts[0][1]}
    total = {name: gradient.clone() for name, gradient in parts[0][2].items()}
    for _, _, one in parts[1:]:
        torch._foreach_add_(list(total.values()), list(one.values()))
    torch._foreach_div_(list(total.values()), len(parts))
    return Answer(losses, measures, total)
