"""Dice: random tensors of a given shape, all from one generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Dice:
    """Random tensors of a given shape, all from one generator."""

    def __init__(self, generator: torch.Generator):
        self.generator = generator

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """Uniform numbers from low to high."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, shape: tuple[int, ...], deviation: float) -> Tensor:
        """Normal numbers around 0."""
        return deviation * torch.randn(shape, generator=self.generator)

    def chance(self, shape: tuple[int, ...], probability: float) -> Tensor:
        """True with this probability."""
        return torch.rand(shape, generator=self.generator) < probability

    def sign(self, shape: tuple[int, ...]) -> Tensor:
        """-1.0 or 1.0."""
        return 2.0 * torch.randint(2, shape, generator=self.generator) - 1

    def pick(self, weights: Tensor) -> Tensor:
        """An index for each row of weights (rows, choices)."""
        return torch.multinomial(weights, 1, generator=self.generator)[:, 0]

    def choice(self, shape: tuple[int, ...], chances: tuple[float, ...]) -> Tensor:
        """0, 1, ... with the given chances."""
        return self.pick(torch.tensor(chances).expand(math.prod(shape), -1)).view(shape)

    def between(self, low: float, high: float) -> float:
        """One uniform number."""
        return float(self.uniform((), low, high))

    def one(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.chance((), probability))
