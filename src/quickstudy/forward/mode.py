"""Forward: one pass of whatever networks and plain functions of torch are called while it is entered.

A norm must be told where its statistics come from, and every random function which numbers it draws. Both are arguments of the
pass, so they are decided here and not by `train()`/`eval()` and a global generator. `Forward` is a `TorchFunctionMode`: it sees
the calls made by any module, subclass or plain function, and answers those of `ANSWERS` itself. Statistics are keyed by the
norm's name and its turn; random numbers are a hash of (seed, step, call, element), the same in a loop, in threads and under vmap.

What is answered stands in norms.py, kernels.py and draws.py. What draws and is not answered is refused by name.
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
    """One pass; the innermost one that is entered answers.

    Args:
        context: training and seed.
        source: where batch norms take their statistics, as `quickstudy.forward.source` says.
        step: which pass of the task this is; another step draws other numbers.
        statistics: by norm, to replay: {"embed.1": (mean, variance)}. A norm's second call in a pass is "embed.1#1". "record"
            fills it.
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
        self.values: dict[str, int] = {}  # behind each statistic that was recorded
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
        """A pass that goes on where this one is."""
        new = copy.copy(self)
        new.turns, new.statistics, new.values = dict(self.turns), dict(self.statistics), dict(self.values)
        return new

    # ---- norms ----

    def key(self, name: str | None) -> str | None:
        """The key of a norm's statistics at this call of it."""
        turn = self.turns[name] = self.turns.get(name, -1) + 1
        return f"{name}#{turn}" if turn else name

    # ---- randomness ----

    def bits(self, shape: Any, device: Any = None) -> Tensor:
        """32 random bits for each element, as int64; another call has others."""
        self.calls += 1
        return stateless_bits(self.context.seed, tuple(shape), 7919 * (self.step + 2) + 104729 * self.calls, device)

    def uniform(self, shape: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """Numbers in (0, 1)."""
        return uniform_of(self.bits(shape, device), dtype or torch.get_default_dtype())

    def normal(self, shape: Any, dtype: torch.dtype | None = None, device: Any = None) -> Tensor:
        """Standard normal numbers."""
        return normal_of(self.bits(shape, device), self.bits(shape, device), dtype or torch.get_default_dtype())

    def keep(self, x: Tensor, p: float, features: bool = False) -> Tensor:
        """True with probability 1 - p, for each unit, or each channel. Integers are compared, so the dtype of x has no say."""
        shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if features else x.shape
        return self.bits(shape, x.device) >= int(p * (1 << 32))


ANSWERS: dict[Any, Callable] = {**norms.ANSWERS, **kernels.ANSWERS, **draws.ANSWERS}


# ---- torch.utils.checkpoint ------------------------------------------------------------------------------------------


def _recompute_alike(forward: Forward) -> None:
    """Inside torch.utils.checkpoint, nested or not: its recomputation, in the backward pass, runs under the mode as it is now.

    No mode is entered in a backward pass; norms and draws would be torch's own there, and others than in the forward pass.
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
    """Where gradients went off within the pass: raise if it was torch.utils.checkpoint(use_reentrant=True).

    It hides the weights from torch.autograd.grad, which then answers 0 for them without a word.
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
