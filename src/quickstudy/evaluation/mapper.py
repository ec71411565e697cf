"""The executor that maps an evaluation over its episodes: the one asked for, or the fastest that agrees with the loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.learners.learner import Learner
from quickstudy.meta.executors import EXECUTORS, Compiled, Executor, Loop, Threads, Vmap
from quickstudy.meta.executors.vmap import autocast_refusal
from quickstudy.meta.problem import task


def mapper_for(executor: str | Executor, function: Callable[[Learner, Any], Tensor], learner: Learner, batch: Any) -> Executor:
    """The requested executor, or for "auto" the fastest of loop, threads and vmap that agrees with the loop on a few episodes."""
    if isinstance(executor, Compiled) or executor == "compiled":  # it trains; without a gradient it is vmap, and says so
        executor = "vmap"
    if isinstance(executor, Executor):
        return executor
    device = next(iter(torch.utils._pytree.tree_leaves(batch))).device
    refused = autocast_refusal(device)
    if executor != "auto":
        if executor not in EXECUTORS:
            raise ArgumentError("executor", expected=f"'auto' or one of {list(EXECUTORS)}", got=repr(executor), do="Use 'auto'.")
        if executor == "vmap" and refused is not None:
            raise UnsupportedError(
                "executor", expected="one that serves this learner", got=f"{executor!r}: {refused}", do="Use executor='loop'."
            )
        return EXECUTORS[executor]()
    few = task(batch, slice(0, min(4, len(batch))))
    threads = [Threads()] if device.type == "cpu" and torch.get_num_threads() > 1 else []
    candidates: list[Executor] = [Loop(), *([] if refused else [Vmap()]), *threads]
    want = candidates[0].map(function, learner, few)
    best, fastest = candidates[0], math.inf
    for candidate in candidates:
        try:
            got = candidate.map(function, learner, few)
            began = time.perf_counter()
            candidate.map(function, learner, few)
            took = time.perf_counter() - began
        except RuntimeError:  # torch's own refusal: no vmap rule for an operator of this network
            continue
        near = 0.05 * float(want.nan_to_num(0, 0, 0).abs().mean())
        if took < fastest and torch.allclose(got, want, rtol=0.05, atol=near, equal_nan=True):
            best, fastest = candidate, took
    return best
