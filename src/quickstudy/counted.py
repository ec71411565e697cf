"""Counted random numbers: functions of (seed, stream, element), drawn from no generator.

A generator cannot be read inside vmap or compile, and its numbers depend on who drew before. These are a hash of where they
stand, so that a loop, threads and vmap draw the same ones and a resumed run draws them again. A seed is an int, or an int64
scalar tensor (one for each task, inside vmap).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quickstudy.rules import _mix

Seed = int | Tensor


def counted_uniform(
    seed: Seed, shape: tuple[int, ...], *, stream: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Tensor:
    """Uniform numbers in (0, 1), of the shape given; another `stream` of the same seed is independent of it."""
    return ((_bits(seed, shape, stream, device) & 0xFFFFFF).to(dtype) + 0.5) / (1 << 24)


def counted_normal(
    seed: Seed, shape: tuple[int, ...], *, stream: int = 0, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Tensor:
    """Standard normal numbers, by Box and Muller:  sqrt(-2 ln u) cos(2 pi v)."""
    u = counted_uniform(seed, shape, stream=2 * stream + 1_000_003, dtype=dtype, device=device)
    v = counted_uniform(seed, shape, stream=2 * stream + 1_000_004, dtype=dtype, device=device)
    return torch.sqrt(-2 * torch.log(u)) * torch.cos(2 * math.pi * v)


def counted_order(seed: Seed, n: int, *, stream: int = 0, device: torch.device | None = None) -> Tensor:
    """A permutation of 0..n-1."""
    return torch.argsort(_bits(seed, (n,), stream, device))


def counted_seed(seed: Seed, stream: int) -> Seed:
    """A seed for one of many independent uses of `seed`."""
    value = _mix(_mix(torch.as_tensor(seed)) + 7919 * _mix(torch.as_tensor(stream + 0x51ED27)))
    return value if isinstance(seed, Tensor) else int(value)


def _bits(seed: Seed, shape: tuple[int, ...], stream: int, device: torch.device | None) -> Tensor:
    device = seed.device if isinstance(seed, Tensor) and device is None else device
    element = torch.arange(math.prod(shape), device=device).reshape(shape)
    own = _mix(_mix(torch.as_tensor(seed, device=device)) + 104729 * _mix(torch.as_tensor(stream + 0x2545F491, device=device)))
    return _mix(_mix(element + 0x9E3779B9) + own)
