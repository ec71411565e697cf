"""The caller's generators: torch's own, NumPy's and Python's belong to whoever calls us, and no call of ours moves them.

Randomness is an argument here. Where somebody else's code draws from a generator that all share (the first weights of torch's
layers, pymfe's samples), it does so in one of the blocks below, which gives the generator back as it was.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's own generators begin at `seed` in this block, and are as they were after it.

    They are the CPU's and those of the accelerators in use. `torch.manual_seed` is no way to do it: it also seeds accelerators
    that are not in use yet, at the moment when they are, and `torch.random.fork_rng(devices=[])` gives back the CPU's alone.
    """
    generators = [torch.default_generator, *torch.cuda.default_generators, *torch.xpu.default_generators]
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
    """NumPy's own generator is, after this block, as it was before."""
    state = np.random.get_state()  # noqa: NPY002 (the one that others seed)
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextmanager
def python_kept() -> Iterator[None]:
    """Python's own generator is, after this block, as it was before."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
