"""Forward: one pass through all networks and plain functions of torch that are called while it is entered.

A norm needs to know where its statistics come from, and a random function which numbers to draw. Both are arguments of the pass,
not left to `train()`/`eval()` and a global generator. `Forward` is a `TorchFunctionMode`: it sees the calls made by any module,
subclass or plain function, and answers those in `ANSWERS` itself. Statistics are keyed by the norm's name and the number of its
call; random numbers are a hash of (seed, step, call, element), the same in a loop, in threads and under vmap.

The answers are in norms.py, kernels.py and draws.py. Random functions without an answer are refused by name.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from quickstudy.errors import UnsupportedError
from quickstudy.forward import _torch, draws, kernels, norms
from quickstudy.forward.context import Context, Source
from quickstudy.random import normal_of, stateless_bits, uniform_of


class Statistics(NamedTuple):
    """Mean and biased variance of one norm's input, each (channels,)."""

    mean: Tensor
    variance: Tensor


class Forward(TorchFunctionMode):
    """One forward pass; if several are entered, the innermost answers.

    Args:
        context: training and seed.
        source: where batch norms take their statistics, as `quickstudy.forward.source` returns it.
        step: the number of the pass within the task; each step draws other numbers.
        statistics: those to replay, by norm: {"embed.1": (mean, variance)}; "embed.1#1" is a norm's second call in a pass. The
            source "record" fills the attribute of this name.

    Examples:
        >>> from quickstudy.forward import Context, Forward
        >>> with Forward(Context(training=True, seed=1)):
        ...     first = torch.rand(2)
        >>> with Forward(Context(training=True, seed=1)):
        ...     torch.equal(first, torch.rand(2))
        True
    """

    def __init__(
        self,
        context: Context,
        source: Source = "batch",
        step: int | Tensor = 0,
        statistics: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.context, self.source, self.step = context, source, step
        self.statistics: dict[str, Statistics] = {} if statistics is None else dict(statistics)
        self.values: dict[str, int] = {}  # how many values each recorded statistic is over
        self.turns: dict[str | None, int] = {}
        self.calls = 0  # of random functions
        self.differentiates = torch.is_grad_enabled()

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = ANSWERS.get(function)
        if self.differentiates and not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            _refuse_reentrant_checkpoint()
        if answer is None:
            return function(*args, **(kwargs or {}))
        if not torch.compiler.is_compiling():
            _recompute_alike(self)
        return answer(self, *args, **(kwargs or {}))

    def as_of_now(self) -> Forward:
        """A copy of this pass that continues from where it is now."""
        new = copy.copy(self)
        new.turns, new.statistics, new.values = dict(self.turns), dict(self.statistics), dict(self.values)
        return new

    # ---- norms ----

    def key(self, name: str | None) -> str | None:
        """The key of a norm's statistics for this call."""
        turn = self.turns[name] = self.turns.get(name, -1) + 1
        return f"{name}#{turn}" if turn else name

    # ---- randomness ----

    def bits(self, shape: Any, device: Any = None) -> Tensor:
        """32 random bits for each element, as int64; every call draws others."""
        self.calls += 1
        return stateless_bits(self.context.seed, tuple(shape), 7919 * (self.step + 2) + 104729 * self.calls, device)

    def uniform(self, shape: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """Numbers in (0, 1)."""
        return uniform_of(self.bits(shape, device), dtype or torch.get_default_dtype())

    def normal(self, shape: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """Standard normal numbers."""
        return normal_of(self.bits(shape, device), self.bits(shape, device), dtype or torch.get_default_dtype())

    def keep(self, x: Tensor, p: float, features: bool = False) -> Tensor:
        """True with probability 1 - p, for each unit, or each channel. Integers are compared, so the dtype of x has no effect."""
        shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if features else x.shape
        return self.bits(shape, x.device) >= int(p * (1 << 32))


ANSWERS: dict[Any, Callable] = {**norms.ANSWERS, **kernels.ANSWERS, **draws.ANSWERS}


# ---- torch.utils.checkpoint ------------------------------------------------------------------------------------------


def _recompute_alike(forward: Forward) -> None:
    """Make open torch.utils.checkpoints, nested or not, recompute under the mode as it is now.

    No mode is entered in a backward pass, so norms and draws would be torch's own there and differ from the forward pass.
    """
    for frame in _torch.open_checkpoints():
        if not hasattr(frame, "recompute_fn"):
            raise UnsupportedError(
                "network",
                expected="a version of torch whose checkpoints can be recomputed under the same norms and draws",
                got=f"torch {torch.__version__}",
                do="Leave torch.utils.checkpoint out of the network; Unrolled(recompute=True) saves the memory of whole steps.",
            )
        if not hasattr(frame, "under"):  # the first call within this checkpoint
            frame.under = forward.as_of_now()
            frame.recompute_fn = _under(frame.under, frame.recompute_fn)


def _under(forward: Forward, function: Callable) -> Callable:
    def run(*args: Any) -> None:
        with forward.as_of_now():
            function(*args)

    return run


def _refuse_reentrant_checkpoint() -> None:
    """Raise if torch.utils.checkpoint(use_reentrant=True) turned gradients off within the pass.

    It hides the weights from torch.autograd.grad, which then silently returns 0 for them.
    """
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code is _torch.REENTRANT_CHECKPOINT:
            raise UnsupportedError(
                "network",
                expected="a network whose gradient torch.autograd.grad can see",
                got="torch.utils.checkpoint(use_reentrant=True) in its forward, under which gradients of weights are 0",
                do="Use checkpoint(..., use_reentrant=False).",
            )
        frame = frame.f_back  # type: ignore[assignment]
