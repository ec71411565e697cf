"""The across-task method: how phi is improved. It is passed to the outer loop as one object.

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
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.outer import optimizers

if TYPE_CHECKING:
    from quickstudy.meta.executors import Executor
    from quickstudy.meta.problem import Answer, Problem


class Outer(ABC):
    """The interface of an across-task method."""

    estimator: Estimator

    @abstractmethod
    def start(self, parameters: dict[str, nn.Parameter]) -> RunningOptimizer | RunningSearch:
        """Start the method on these parameters."""


@checked
@dataclass(frozen=True)
class Gradient(Outer):
    """Improve phi along an estimated gradient, with any optimizer and scheduler of torch.

    An optimizer whose step asks for a closure (`LBFGS`) gets one: the loss and the clipped gradient of the step's own tasks and
    seeds at the current phi. A step records, carries and averages what its first evaluation returns. `ReduceLROnPlateau` gets
    the validation score at each validation; every other scheduler is stepped after each outer step.

    Args:
        estimator: how the gradient is estimated: `Backprop()`, `ReptileDirection()`, `Evolution()`, `PersistentEvolution()`,
            `ScoreFunction()`, `ForwardMode()`, and for training runs `Lookahead()` and `FixedPoint()`.
        optimizer: a function of the parameters, such as `functools.partial(torch.optim.SGD, lr=0.1)`; None: Adam, rate 1e-3.
        scheduler: a function of the optimizer, such as `functools.partial(CosineAnnealingLR, T_max=2000)`; None: a constant
            rate.

    Raises:
        ArgumentError, UnsupportedError: here, or before the first step: an optimizer or scheduler that is built already or that
            torch does not build; `SparseAdam`, since gradients are dense; a closure with an estimator that does not
            differentiate; a scheduler that raises at one of the run's steps (`OneCycleLR` with too few); a `ReduceLROnPlateau`
            without a validation, or with another `mode` than the metric's ("max" for accuracy, "min" for mean squared error).

    Examples:
        >>> from functools import partial
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR
        >>> outer = qs.Gradient(qs.Backprop(), partial(torch.optim.SGD, lr=0.1), partial(CosineAnnealingLR, T_max=2))
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> len(qs.meta_train(learner, tasks.train, steps=2, tasks_per_step=2, outer=outer, progress=False).history)
        2
    """

    estimator: Estimator = Backprop()
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None
    scheduler: Callable[[torch.optim.Optimizer], LRScheduler] | None = None

    def __post_init__(self) -> None:
        optimizers.check_function("optimizer", self.optimizer, "parameters", torch.optim.Optimizer)
        optimizers.check_function("scheduler", self.scheduler, "optimizer", LRScheduler)

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningOptimizer:
        """The running method: its optimizer and scheduler over `parameters`."""
        over, make = list(parameters.values()), self.optimizer or adam
        optimizer = optimizers.built("optimizer", make, over, torch.optim.Optimizer, "torch.optim.Adam")
        optimizers.check_optimizer(optimizer, self.estimator)
        optimizers.own_rates(optimizer)
        if self.scheduler is None:
            return RunningOptimizer(parameters, optimizer, None)
        scheduler = optimizers.built("scheduler", self.scheduler, optimizer, LRScheduler, "CosineAnnealingLR")
        optimizers.check_scheduler(scheduler, optimizer)
        return RunningOptimizer(parameters, optimizer, scheduler)


class LeftOut(Outer):
    """A placeholder in a loaded learner for an across-task method that could not be saved: meta-training asks for it.

    Args:
        what: the part that could not be saved.
    """

    def __init__(self, what: str):
        self.what = what

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """Raises an ArgumentError: the method was not saved."""
        raise ArgumentError(
            "outer",
            expected=f"the across-task method of this learner, which was saved without it: {self.what} cannot be written down",
            got="none",
            do="Call meta_train(..., outer=...) with the one that it was built with.",
        )

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningOptimizer:
        """Raises an ArgumentError: see `estimator`."""
        return Gradient(self.estimator).start(parameters)


def cosine(step: int, steps: int, final: float) -> float:
    """The factor of a rate: from 1 at step 0 along half a cosine to `final` at `steps`, and `final` from there on."""
    return final + (1 - final) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


class RunningOptimizer:
    """A running `Gradient`: holds optimizer and scheduler, takes steps."""

    def __init__(self, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, scheduler: LRScheduler | None):
        self.parameters, self.optimizer, self.scheduler = parameters, optimizer, scheduler
        self.asks = optimizers.asks_for_closure(optimizer)

    def check(self, steps: int, higher_is_better: Callable[[], bool | None], done: int = 0) -> None:
        """Raise where the scheduler cannot take the steps after `done`, or lacks the validation score that it watches."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            optimizers.check_plateau(self.scheduler, higher_is_better())
        elif self.scheduler is not None:
            optimizers.check_schedule(self.scheduler, steps, done)

    def step(self, answer: Answer, again: Callable[[], Answer]) -> None:
        """One step of the optimizer along the answer's gradient.

        Args:
            answer: the answer at the current phi.
            again: computes the answer of the same tasks and seeds at the phi of its call, for an optimizer that moves in between.
        """
        self._point_along(answer.gradient)
        if self.asks:
            with optimizers.nothing_to_search(self.optimizer):
                self.optimizer.step(self._closure(answer, again))  # type: ignore[arg-type]  # torch: float; LBFGS takes a scalar
        else:
            self.optimizer.step()
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def validated(self, score: float) -> None:
        """Pass a validation score on to `ReduceLROnPlateau`, with the metric's own sign."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(score)

    def _closure(self, answer: Answer, again: Callable[[], Answer]) -> Callable[[], Tensor]:
        """A closure that sets the gradients at the current phi and returns the loss; `answer` serves while phi has not moved."""
        here = [parameter.detach().clone() for parameter in self.parameters.values()]

        def closure() -> Tensor:
            unmoved = all(map(torch.equal, self.parameters.values(), here))
            found = answer if unmoved else again()
            self._point_along(found.gradient)
            return found.losses.mean()

        return closure

    def _point_along(self, gradient: Parameters) -> None:
        """Set the gradients: in the memory order of the parameters, or contiguous for one with a closure, which flattens them."""
        for name, parameter in self.parameters.items():
            one = gradient[name]
            parameter.grad = one.contiguous() if self.asks else optimizers.laid_as(one, parameter)

    def state_dict(self) -> dict[str, Any]:
        """Optimizer and scheduler, for a checkpoint."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""
        optimizers.restore(self.optimizer, state["optimizer"])
        if (self.scheduler is None) != (state["scheduler"] is None):
            raise ValueError(f"{'no' if state['scheduler'] is None else 'a'} scheduler")
        if self.scheduler is not None:
            self.scheduler.load_state_dict(optimizers.recounted(state["scheduler"], self.scheduler.state_dict()))


class RunningSearch(ABC):
    """A running search: proposes values of phi, scores them and moves phi, without a gradient."""

    @abstractmethod
    def search(self, executor: Executor, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        """Score candidates on a batch and move phi; the answer holds the losses of phi, and an empty gradient."""

    def check(self, steps: int, higher_is_better: Callable[[], bool | None], done: int = 0) -> None:
        """Does nothing: a search has no schedule."""

    def step(self, answer: Answer, again: Callable[[], Answer]) -> None:
        """Does nothing: `search` has moved phi."""

    def validated(self, score: float) -> None:
        """Does nothing: a search scores candidates itself."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state` left off."""


def check_outer(outer: Outer, clip: float | None, chunk: int | None) -> None:
    """Raise where `clip` or `chunk` is given for a method that does not serve it."""
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
    parameters = list(parameters)
    return torch.optim.Adam(parameters, lr=1e-3, fused=not any(map(optimizers.has_gaps, parameters)))


def clip_by_global_norm(gradient: Parameters, norm: float) -> None:
    """Scale the gradient in place so that its norm over all parameters is at most `norm`."""
    parts: list[Tensor] = list(gradient.values())
    length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(parts)))
    torch._foreach_mul_(parts, torch.clamp(norm / (length + 1e-12), max=1.0))
