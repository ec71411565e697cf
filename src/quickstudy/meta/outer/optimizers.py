"""Torch's optimizers and schedulers in the outer loop: early checks, closures, memory layout, checkpoints."""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau, SequentialLR

from quickstudy.errors import ArgumentError, QuickstudyError, UnsupportedError
from quickstudy.meta.estimator import Estimator
from quickstudy.process_wide import without_warnings

T = TypeVar("T", Optimizer, LRScheduler)
FAILURES = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError)  # raised when torch refuses

# ---- construction --------------------------------------------------------------------------------------------------------


def check_function(argument: str, make: Any, of: str, kind: type[Optimizer] | type[LRScheduler]) -> None:
    """Raise unless `make` is a function or None."""
    if make is None or callable(make):
        return
    what = f"{type(make).__module__.removesuffix('.' + type(make).__name__.lower())}.{type(make).__name__}"
    raise ArgumentError(
        argument,
        expected=f"a function of the {of}",
        got=f"{type(make).__name__}(...), which is built already" if isinstance(make, kind) else repr(make)[:80],
        do=f"Give functools.partial({what}, ...), which the outer loop calls." if isinstance(make, kind) else "Leave it out.",
    )


def built(argument: str, make: Callable[[Any], T], over: Any, kind: type[T], other: str) -> T:
    """Return make(over), checked to be a `kind`.

    Raises:
        ArgumentError: torch refuses the arguments, or the result is not a `kind`.
    """
    try:
        made = make(over)
    except QuickstudyError:
        raise
    except FAILURES as error:
        raise ArgumentError(
            argument,
            expected="one that torch can build for this learner",
            got=f"{_shown(make)}, which raises {_said(error)}",
            do=f"Change its arguments, or use {other}.",
        ) from error
    if not isinstance(made, kind):
        raise ArgumentError(
            argument,
            expected=f"a function that returns torch's {kind.__name__}",
            got=f"one that returns {type(made).__name__}",
            do=f"Use {other}.",
        )
    return made


def own_rates(optimizer: Optimizer) -> None:
    """Clone the tensors among the settings, since a scheduler updates a tensor rate in place."""
    for group in optimizer.param_groups:
        group.update({name: value.clone() for name, value in group.items() if isinstance(value, Tensor)})


def asked(method: Callable) -> list[str]:
    """The required arguments of a method of a class, such as `type(optimizer).step`."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in variadic]


def asks_for_closure(optimizer: Optimizer) -> bool:
    """Whether its step evaluates the loss itself, as LBFGS does."""
    return asked(type(optimizer).step) == ["closure"]


def check_optimizer(optimizer: Optimizer, estimator: Estimator) -> None:
    """Raise where the optimizer could not take a correct step."""
    name = type(optimizer).__name__

    def refused(expected: str, got: str, do: str) -> UnsupportedError:
        return UnsupportedError("optimizer", expected=expected, got=got, do=do)

    if isinstance(optimizer, torch.optim.SparseAdam):
        raise refused("one that takes dense gradients, as the outer loop gives them", name, "Use torch.optim.Adam.")
    asks = asked(type(optimizer).step)
    if asks not in ([], ["closure"]):
        got = f"{name}, whose step asks for {', '.join(asks)}"
        raise refused("one whose step takes a closure or nothing", got, "Give the other arguments a default.")
    if asks and not estimator.differentiates:
        estimates = f"one that asks for no closure, since {type(estimator).__name__} estimates no derivative of a closure's loss"
        raise refused(estimates, name, "Use torch.optim.Adam, or an estimator that differentiates, such as Backprop().")
    for group in optimizer.param_groups:
        if group.get("differentiable"):
            raise refused("one whose own step is plain", f"{name}(differentiable=True)", "Leave `differentiable` out.")
        if group.get("capturable") and any(p.device.type == "cpu" for p in group["params"]):
            raise refused("one that steps on a CPU", f"{name}(capturable=True)", "Leave `capturable` out.")
        gaps = [tuple(p.shape) for p in group["params"] if has_gaps(p)] if group.get("fused") else []
        if gaps:
            raise refused(
                f"one that heeds the strides of a parameter with gaps in its memory, of shape {gaps[0]}",
                f"{name}(fused=True)",
                "Leave `fused` out, or make the parameter contiguous.",
            )


def check_scheduler(scheduler: LRScheduler, optimizer: Optimizer) -> None:
    """Raise where the scheduler belongs to another optimizer, or its step needs arguments that the outer loop cannot give."""
    name, asks = type(scheduler).__name__, asked(type(scheduler).step)
    if scheduler.optimizer is not optimizer:
        raise ArgumentError(
            "scheduler",
            expected="one of the optimizer that the function is given",
            got=f"a {name} of another optimizer",
            do=f"Write lambda optimizer: {name}(optimizer, ...).",
        )
    if asks and not isinstance(scheduler, ReduceLROnPlateau):
        raise UnsupportedError(
            "scheduler",
            expected="one whose step takes nothing, or a ReduceLROnPlateau, which takes the validation score",
            got=f"{name}, whose step asks for {', '.join(asks)}",
            do="Derive it from ReduceLROnPlateau, or let it count its own steps.",
        )


@contextmanager
def nothing_to_search(optimizer: Optimizer) -> Iterator[None]:
    """Turn the line search off where the rate is 0, as at the start of a warm-up: LBFGS divides by the rate."""
    still = [group for group in optimizer.param_groups if group.get("line_search_fn") and group["lr"] == 0]
    searches = [group["line_search_fn"] for group in still]
    for group in still:
        group["line_search_fn"] = None
    try:
        yield
    finally:
        for group, search in zip(still, searches, strict=True):
            group["line_search_fn"] = search


def _shown(make: Any) -> str:
    """A function as source text."""
    if isinstance(make, partial):
        given = [*map(_shown, make.args), *(f"{name}={_shown(value)}" for name, value in make.keywords.items())]
        return f"functools.partial({', '.join([_shown(make.func), *given])})"
    return getattr(make, "__name__", repr(make))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".removesuffix(".")


# ---- a scheduler and the run -----------------------------------------------------------------------------------------------


def check_schedule(scheduler: LRScheduler, steps: int, done: int) -> None:
    """Raise where a scheduler of torch cannot take the steps `done` + 1 to `steps` of a run."""
    found = _refusal(scheduler, steps - done)
    if found is None:
        return
    after, why = found
    kept = "A resumed run keeps the schedule of its checkpoint: start it anew" if done else f"Build it for {steps} steps"
    raise ArgumentError(
        "scheduler",
        expected=f"one that takes all {steps} steps of the run",
        got=f"{type(scheduler).__name__}, which raises after step {done + after}: {why}",
        do=f"{kept}, or meta-train for fewer steps.",
    )


def check_plateau(scheduler: ReduceLROnPlateau, higher_is_better: bool | None) -> None:
    """Raise where there is no validation score to watch (None), or the scheduler's mode is the wrong one for it."""
    name = type(scheduler).__name__
    if higher_is_better is None:
        raise UnsupportedError(
            "scheduler",
            expected="one that needs no validation, since these tasks are one distribution",
            got=name,
            do="Give meta_train a TaskFamily, whose `.validation` it watches, or use CosineAnnealingLR.",
        )
    right = "max" if higher_is_better else "min"
    if scheduler.mode != right:
        way = "rise" if higher_is_better else "fall"
        raise ArgumentError(
            "scheduler",
            expected=f"{name}(mode={right!r}), since the validation score is to {way}",
            got=f"mode={scheduler.mode!r}",
            do=f"Write functools.partial({name}, mode={right!r}).",
        )


def _refusal(scheduler: LRScheduler, steps: int) -> tuple[int, str] | None:
    """The first of the next `steps` at which a scheduler of torch raises, and what it says; None where it does not.

    A copy is stepped on a stand-in for the optimizer. The user's own functions are not called, and own classes not tried.
    """
    parts = list(_parts(scheduler))
    if isinstance(scheduler, ReduceLROnPlateau) or any(type(part).__module__ != LRScheduler.__module__ for part in parts):
        return None
    if not any(isinstance(part, OneCycleLR | SequentialLR) for part in parts):
        steps = min(steps, 2)  # the others do at every step what they do at the first
    groups = [
        {**{name: copy.deepcopy(value) for name, value in group.items() if "param" not in name}, "params": [torch.zeros(1)]}
        for group in scheduler.optimizer.param_groups
    ]
    twin = _over(scheduler, torch.optim.SGD(groups, lr=1.0))
    with without_warnings:  # that the optimizer has taken no step
        for step in range(1, steps + 1):
            try:
                twin.step()
            except FAILURES as error:
                return step, _said(error)
    return None


def _parts(scheduler: LRScheduler) -> Iterator[LRScheduler]:
    """The scheduler and the schedulers it contains."""
    yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _parts(part)


def _over(scheduler: LRScheduler, optimizer: Optimizer) -> LRScheduler:
    """A copy of the scheduler for another optimizer, with the user's own functions replaced by a constant."""
    twin = copy.copy(scheduler)
    attributes: dict[str, Any] = twin.__dict__
    attributes["optimizer"] = optimizer
    if "_schedulers" in attributes:
        attributes["_schedulers"] = [_over(part, optimizer) for part in attributes["_schedulers"]]
    if "lr_lambdas" in attributes:
        attributes["lr_lambdas"] = [_constant] * len(attributes["lr_lambdas"])
    if attributes.get("_scale_fn_custom") is not None:
        attributes["_scale_fn_custom"] = _constant
    return twin


def _constant(step: float) -> float:
    return 1.0


# ---- tensors ---------------------------------------------------------------------------------------------------------------


def has_gaps(parameter: Tensor) -> bool:
    """Whether its memory holds more than its elements, once each."""
    return torch.empty_like(parameter, device="meta").stride() != parameter.stride()


def laid_as(value: Tensor, parameter: Tensor) -> Tensor:
    """The value in the memory order of the parameter, which a fused optimizer assumes: it ignores strides."""
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a state dict exactly.

    torch casts an optimizer's state to the parameter's dtype (NAdam's products are float32 beside float64), and leaves it in the
    contiguous order of a checkpoint.
    """
    optimizer.load_state_dict(state)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, memory in state["state"].items():
        loaded = optimizer.state[parameters[index]]
        for name, value in memory.items():
            if isinstance(value, Tensor):
                loaded[name] = laid_as(value.to(loaded[name].device, copy=True), parameters[index])


def recounted(state: Any, like: Any) -> Any:
    """A scheduler's state from a checkpoint, with Counters for plain dicts where `own` has them: MultiStepLR's milestones."""
    if isinstance(state, dict) and isinstance(like, dict):
        found = {name: recounted(value, like.get(name)) for name, value in state.items()}
        return Counter(found) if isinstance(like, Counter) else found
    if isinstance(state, list) and isinstance(like, list):
        return [recounted(*pair) for pair in zip(state, like, strict=True)] if len(state) == len(like) else state
    return state
