"""Allowance: how much may be made while a learner is built from a file, so that a few bytes cannot ask for all the memory.

numbers made  <=  those saved + `numbers`           calls of torch  <=  `calls` for each saved tensor, and as many besides
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

NUMBERS = 2**26  # 256 MiB in float32, for what is not saved: initial values of some layers, a student with random weights
CALLS = 1000
MAKERS = {
    getattr(torch, name)
    for name in ("empty", "zeros", "ones", "full", "eye", "arange", "linspace", "rand", "randn", "randint", "randperm")
}


class AllowanceError(ValueError):
    """More would be made than is allowed."""


class Allowance(TorchFunctionMode):
    """Raise AllowanceError where the block makes more tensors, or larger ones, than allowed.

    Args:
        saved: numbers in the saved tensors.
        tensors: how many tensors are saved.
        numbers: how many more may be made.

    Examples:
        >>> from quickstudy.artifacts.allowance import Allowance
        >>> with Allowance(saved=0, tensors=1, numbers=100):
        ...     _ = torch.nn.Linear(9, 10)
        >>> with Allowance(saved=0, tensors=1, numbers=100):
        ...     _ = torch.nn.Linear(9, 10**12)
        Traceback (most recent call last):
        ...
        quickstudy.artifacts.allowance.AllowanceError: tensors of more than 100 numbers
    """

    def __init__(self, saved: int, tensors: int, numbers: int = NUMBERS):
        super().__init__()
        self.numbers = self._numbers_left = saved + numbers
        self._calls_left = CALLS * (tensors + 1)

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._calls_left -= 1
        if self._calls_left < 0:
            raise AllowanceError("many more parts than are saved")
        if func in MAKERS:
            self._take(func(*args, **_without_memory(kwargs)).numel())
        elif func is torch.Tensor.clone:
            self._take(args[0].numel())
        return func(*args, **kwargs)

    def _take(self, numbers: int) -> None:
        self._numbers_left -= numbers
        if self._numbers_left < 0:
            raise AllowanceError(f"tensors of more than {self.numbers} numbers")


def _without_memory(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments for a tensor of the same shape on the device "meta", which holds no numbers."""
    return {name: value for name, value in kwargs.items() if name not in ("generator", "out")} | {"device": "meta"}
