"""Executor: how the scalar of one task becomes the gradient over many. All give the loop's numbers, at different speed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from quickstudy.learners.learner import Learner, Measures
from quickstudy.meta.problem import Answer, Problem
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

    def refusal(self, problem: Problem) -> str | None:
        """Why this executor cannot serve the problem; None where it can be tried."""
        return None


@contextmanager
def differentiable_kernels(learner: nn.Module) -> Iterator[None]:
    """Only kernels that have a second derivative: plain attention, and recurrent nets without cuDNN."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in learner.modules())
    cudnn = torch.backends.cudnn
    with sdpa_kernel(SDPBackend.MATH), cudnn.flags(enabled=cudnn.enabled and not recurrent, benchmark=cudnn.benchmark):
        yield


def gathered(parts: Sequence[tuple[Tensor, Measures, Parameters]]) -> Answer:
    """The answers of single tasks as one, gradients summed in task order so that numbers repeat."""
    losses = torch.stack([loss for loss, _, _ in parts])
    measures = {name: torch.stack([one[name] for _, one, _ in parts]) for name in parts[0][1]}
    total = {name: gradient.clone() for name, gradient in parts[0][2].items()}
    for _, _, one in parts[1:]:
        torch._foreach_add_(list(total.values()), list(one.values()))
    torch._foreach_div_(list(total.values()), len(parts))
    return Answer(losses, measures, total)
