"""Executor: computes the gradient over many tasks from the scalar of one. All give the loop's numbers, at different speeds."""

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
from quickstudy.forward.call import Parameters
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Outcome
from quickstudy.meta.problem import Answer, Function, Problem, task, tasks_of
from quickstudy.process_wide import ProcessWide


class Executor(ABC):
    """The interface of an executor."""

    name: str

    @abstractmethod
    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """Losses, logs, statistics and carries of the tasks of a batch, and the mean gradient over them."""

    @abstractmethod
    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        """function(learner, episode) for each task of a batch, stacked; without a graph."""

    def values(self, problem: Problem, members: Parameters, episodes: Any, seeds: Tensor, carries: Any = None) -> Outcome:
        """The outcome of every task under every member of a population, leaves (members, tasks, ...); without a graph.

        This default runs one after another; a task that fails in its inner loop has the loss NaN.

        Args:
            members: values of phi by name, each with a leading axis `members`.
            carries: each member's carry of each task, (members, tasks, ...), in place of the windows' carry.
        """
        f, buffers, rows, n = problem.function(), problem.buffers(), [], tasks_of(episodes)
        with torch.no_grad(), differentiable_kernels(problem.learner):
            for i in range(next(iter(members.values())).shape[0]):
                phi = {name: value[i] for name, value in members.items()}
                mine = episodes if carries is None else episodes._replace(carry=pytree.tree_map(lambda leaf: leaf[i], carries))  # noqa: B023
                rows += [_tried(f, phi, buffers, task(mine, t), seed) for t, seed in enumerate(seeds.tolist())]
        good = next((row for row in rows if row is not None), None)
        if good is None:
            return Outcome(torch.full((len(rows) // n, n), torch.nan, device=seeds.device), {}, {}, ())
        failed = pytree.tree_map(lambda leaf: torch.full_like(leaf, torch.nan) if leaf.is_floating_point() else leaf, good)
        filled = [failed if row is None else row for row in rows]
        return pytree.tree_map(lambda *leaves: torch.stack(leaves).unflatten(0, (-1, n)), *filled)

    def settings(self) -> dict[str, Any]:
        """The arguments that make this executor again, for a checkpoint."""
        return {}

    def refusal(self, problem: Problem) -> str | None:
        """Why this executor cannot serve the problem; None if it can be tried."""
        return None


FAILURES = (ConvergenceError, NotFiniteError, torch.linalg.LinAlgError)  # of an inner loop


def _tried(f: Function, phi: Parameters, buffers: Parameters, episode: Any, seed: int) -> Outcome | None:
    try:
        return f(phi, buffers, episode, seed)
    except FAILURES:
        return None


@contextmanager
def differentiable_kernels(learner: nn.Module) -> Iterator[None]:
    """Only kernels that have a second derivative: plain attention, and recurrent nets without cuDNN."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in learner.modules())
    with PLAIN_ATTENTION, WITHOUT_CUDNN if recurrent else nullcontext():
        yield


@contextmanager
def _without_cudnn() -> Iterator[None]:
    """Turn cuDNN off and leave its other settings alone: `cudnn.flags` would reset those it is not given, tf32 to on."""
    enabled = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = enabled


PLAIN_ATTENTION = ProcessWide(lambda: sdpa_kernel(SDPBackend.MATH))
WITHOUT_CUDNN = ProcessWide(_without_cudnn)


def gathered(parts: Sequence[tuple[Outcome, Parameters]]) -> Answer:
    """The outcomes of single tasks as one answer, gradients summed in task order so that numbers repeat."""
    loss, log, statistics, carry = pytree.tree_map(lambda *leaves: torch.stack(leaves), *(one for one, _ in parts))
    total = {name: gradient.clone() for name, gradient in parts[0][1].items()}
    for _, one in parts[1:]:
        torch._foreach_add_(list(total.values()), list(one.values()))
    torch._foreach_div_(list(total.values()), len(parts))
    return Answer(loss, log, total, statistics, carry)
