"""The across-task method: how phi is improved. Given to the outer loop as one object.

phi  <-  optimizer( phi,  estimate of  d/dphi E_tasks [ L(F_phi(support), query) ] )
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.meta.estimator import Backprop, Estimator
from quickstudy.network import Parameters

if TYPE_CHECKING:
    from quickstudy.meta.executors import Executor
    from quickstudy.meta.problem import Answer, Problem


class Outer(ABC):
    """The interface of an across-task method."""

    estimator: Estimator

    @abstractmethod
    def start(self, parameters: dict[str, nn.Parameter]) -> Descending | Searching:
        """The method at work on these parameters."""


@dataclass(frozen=True)
class Gradient(Outer):
    """Improve phi along an estimated gradient, with any optimizer and scheduler of torch.

    Args:
        estimator: how the gradient is estimated: `Backprop()`, `ReptileDirection()`, `Evolution()`, `PersistentEvolution()`,
            `ScoreFunction()`, `ForwardMode()`, and for training runs `Lookahead()` and `FixedPoint()`.
        optimizer: a function of the parameters, such as `functools.partial(torch.optim.SGD, lr=0.1)`; None: Adam, rate 1e-3.
        scheduler: a function of the optimizer, such as `functools.partial(CosineAnnealingLR, T_max=2000)`, stepped after
            each outer step; None: a constant rate.
    """

    estimator: Estimator = Backprop()
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None
    scheduler: Callable[[torch.optim.Optimizer], LRScheduler] | None = None

    def start(self, parameters: dict[str, nn.Parameter]) -> Descending:
        """The running method: its optimizer and scheduler over `parameters`."""
        optimizer = (self.optimizer or adam)(list(parameters.values()))
        return Descending(parameters, optimizer, None if self.scheduler is None else self.scheduler(optimizer))


class LeftOut(Outer):
    """In a loaded learner the place of an across-task method that its folder could not hold: meta-training asks for it.

    Args:
        what: the part that could not be written down.
    """

    def __init__(self, what: str):
        self.what = what

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """None is known."""
        raise ArgumentError(
            "outer",
            expected=f"the across-task method of this learner, which was saved without it: {self.what} cannot be written down",
            got="none",
            do="Call meta_train(..., outer=...) with the one that it was built with.",
        )

    def start(self, parameters: dict[str, nn.Parameter]) -> Descending:
        """Nothing starts: see `estimator`."""
        return Gradient(self.estimator).start(parameters)


def cosine(step: int, steps: int, final: float) -> float:
    """The factor of a rate: from 1 at step 0 along half a cosine to `final` at `steps`, and `final` from there on."""
    return final + (1 - final) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


class Descending:
    """A `Gradient` at work: holds optimizer and scheduler, takes steps."""

    def __init__(self, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, scheduler: LRScheduler | None):
        self.parameters, self.optimizer, self.scheduler = parameters, optimizer, scheduler

    def step(self, gradient: Parameters) -> None:
        """One step of the optimizer along `gradient`, by parameter name."""
        for name, parameter in self.parameters.items():
            parameter.grad = laid_as(parameter, gradient[name])
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Optimizer and scheduler, for a checkpoint."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            kept.update({name: laid_as(parameter, value) for name, value in kept.items() if isinstance(value, Tensor)})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])


def laid_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory layout of its parameter.

    A fused optimizer of torch walks the memory of parameter, gradient and averages side by side and does not look at strides.
    vmap's gradient of channels-last weights, and averages from a checkpoint, lie otherwise: each weight would take another's.
    """
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


class Searching(ABC):
    """A search at work: proposes values of phi, scores them, moves; it estimates no gradient."""

    @abstractmethod
    def search(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """Score candidates on a batch and move phi; the answer holds the losses of phi, and an empty gradient."""

    def step(self, gradient: Parameters) -> None:
        """Nothing: `search` has moved phi."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""


def check_outer(outer: Outer, clip: float | None, chunk: int | None) -> None:
    """Raise where the outer loop is asked for what this method does not do."""
    if clip is not None and not isinstance(outer, Gradient):
        raise UnsupportedError(
            "clip",
            expected="a method that estimates a gradient, whose norm can be clipped",
            got=f"outer={type(outer).__name__}(...)",
            do="Leave `clip` out, or use outer=Gradient(Evolution()).",
        )
    if chunk is not None and not outer.estimator.differentiates:
        raise UnsupportedError(
            "chunk",
            expected="a method that takes a derivative, task by task",
            got=f"{type(outer.estimator).__name__}, which keeps no graph",
            do="Leave `chunk` out; `together=` bounds the members that are evaluated at once.",
        )


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam at rate 1e-3, the field's default; fused, one call for all parameters."""
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


def clip_by_global_norm(gradient: Parameters, norm: float) -> None:
    """Scale the gradient in place so that its norm over all parameters is at most `norm`."""
    parts: list[Tensor] = list(gradient.values())
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(parts)))
    torch._foreach_mul_(parts, torch.clamp(norm / (length + 1e-12), max=1.0))
