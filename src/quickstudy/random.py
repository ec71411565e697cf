"""Stateless random numbers: functions of (seed, stream, element), without a generator.

A generator cannot be read inside vmap or compile, and its numbers depend on earlier draws. These are a hash of their position, so
a loop, threads, vmap and a resumed run draw the same numbers. A seed is an int, or an int64 scalar tensor (one for each task,
inside vmap).

    bits_i  =  h( h( h(seed) + 104729 h(stream) ) ^ 0x9E3779B9 i ),        h: lowbias32, a 32-bit hash

Source of h: Wellons, "Prospecting for Hash Functions", 2018, and the improved constants of its later search.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

Seed = int | Tensor

# Bits of a uniform number: (k + 1/2) / 2^b must be exact in the dtype, else it may round to 1.
DIGITS = {torch.float64: 32, torch.float32: 23, torch.float16: 10, torch.bfloat16: 7}


def stateless_bits(seed: Seed, shape: tuple[int, ...], stream: Seed = 0, device: torch.device | str | None = None) -> Tensor:
    """32 random bits for each element, as int64."""
    device = seed.device if isinstance(seed, Tensor) and device is None else device
    key = mix(mix(seed) + 104729 * mix(stream + 0x2545F491))
    key = key.to(device) if isinstance(key, Tensor) else key
    bits = mix((torch.arange(math.prod(shape), device=device) * 0x9E3779B9) ^ key)
    return bits.reshape(shape)


def stateless_uniform(
    seed: Seed,
    shape: tuple[int, ...],
    *,
    stream: Seed = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Uniform numbers in (0, 1); different streams of one seed are independent."""
    return uniform_of(stateless_bits(seed, shape, stream, device), dtype)


def stateless_normal(
    seed: Seed,
    shape: tuple[int, ...],
    *,
    stream: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Standard normal numbers."""
    u, v = (stateless_bits(seed, shape, 2 * stream + more, device) for more in (1_000_003, 1_000_004))
    return normal_of(u, v, dtype)


def stateless_order(seed: Seed, n: int, *, stream: int = 0, device: torch.device | str | None = None) -> Tensor:
    """A permutation of 0..n-1."""
    return torch.argsort(stateless_bits(seed, (n,), stream, device))


def stateless_seed(seed: Seed, stream: int) -> Seed:
    """A seed for one of many independent uses of `seed`."""
    return mix(mix(seed) + 7919 * mix(stream + 0x51ED27))


def uniform_of(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers in (0, 1), both excluded in every dtype, from 32 random bits each."""
    digits = DIGITS.get(dtype, 23)
    wide = dtype if digits >= 23 else torch.float32
    return (((bits >> (32 - digits)).to(wide) + 0.5) * 2.0**-digits).to(dtype)


def normal_of(u_bits: Tensor, v_bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers from random bits, by Box-Muller:  sqrt(-2 ln u) cos(2 pi v)."""
    wide = dtype if dtype in (torch.float32, torch.float64) else torch.float32
    u, v = uniform_of(u_bits, wide), uniform_of(v_bits, wide)
    return (torch.sqrt(-2 * torch.log(u)) * torch.cos(2 * math.pi * v)).to(dtype)


def mix(h: Any) -> Any:
    """lowbias32 of an int, or of every element of an int64 tensor. (In int32 it is wrong under inductor.)"""
    h = h & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0xD35A2D97) & 0xFFFFFFFF
    return h ^ (h >> 15)
