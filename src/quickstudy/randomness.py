"""Protection for the caller's generators: no call of quickstudy advances those of torch, NumPy or Python.

Randomness is an argument in quickstudy. Other packages' code that draws from a global generator (the initial weights of torch's
layers, pymfe's samples) runs in one of the blocks below, which restores the generator. One thread at a time is in such a block:
two would draw from each other's numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from quickstudy import forks

ONE_AT_A_TIME = forks.lock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators in this block, and restore them after it.

    They are the CPU's and those of the accelerators in use. `torch.manual_seed` does not work here: it also seeds accelerators
    that are not in use yet, once they are, and `torch.random.fork_rng(devices=[])` restores the CPU's alone.
    """
    generators = [torch.default_generator, *torch.cuda.default_generators, *torch.xpu.default_generators]
    with ONE_AT_A_TIME:
        states = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


@contextmanager
def numpy_kept() -> Iterator[None]:
    """Restore NumPy's global generator after this block."""
    with ONE_AT_A_TIME:
        state = np.random.get_state()  # noqa: NPY002 (the one that others seed)
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


@contextmanager
def python_kept() -> Iterator[None]:
    """Restore Python's global generator after this block."""
    with ONE_AT_A_TIME:
        state = random.getstate()
        try:
            yield
        finally:
            random.setstate(state)
