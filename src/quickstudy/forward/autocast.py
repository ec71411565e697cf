"""Carry the caller's autocast into vmap and into a backward pass, which it does not reach by itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch


def under_this_autocast(function: Callable) -> Callable:
    """The function, run under the current autocast state whenever and wherever it is called."""
    states = [
        torch.autocast(device, dtype=torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
        if torch.is_autocast_enabled(device)
    ]
    if not states:
        return function

    def run(*args: Any) -> Any:
        with ExitStack() as stack:
            for state in states:
                stack.enter_context(state)
            return function(*args)

    return run
