"""Sinusoids: regression tasks  y = A sin(x - phase),  A ~ U[0.1, 5], phase ~ U[0, pi], x ~ U[-5, 5].

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, section 5.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from quickstudy.episode import Episode, Examples
from quickstudy.tasks.distribution import Size, TaskDistribution, TaskFamily, drawn, fresh_generator

POOLED_TASKS = 2000  # tasks that `examples` draws from


class SinusoidTasks(TaskDistribution):
    """Sinusoids of random amplitude and phase; x and y are (tasks, examples, 1) float32."""

    def __init__(self, shots: Size = 10, queries: Size = 10, device: str | torch.device = "cpu"):
        self.shots, self.queries, self.device = shots, queries, device

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        generator = generator or fresh_generator()
        shots, queries = drawn(self.shots, generator), drawn(self.queries, generator)
        amplitude = 0.1 + 4.9 * torch.rand(n, 1, 1, generator=generator)
        phase = math.pi * torch.rand(n, 1, 1, generator=generator)

        def examples(each: int) -> Examples:
            x = 10 * torch.rand(n, each, 1, generator=generator) - 5
            return Examples(x.to(self.device), (amplitude * torch.sin(x - phase)).to(self.device))

        return Episode(examples(shots), examples(queries))

    def examples(self) -> Examples:
        """The queries of 2000 tasks pooled: what joint training on all tasks sees."""
        query = self.sample(POOLED_TASKS, generator=torch.Generator().manual_seed(0)).query
        return Examples(query.x.flatten(0, 1), query.y.flatten(0, 1))

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> SinusoidTasks:
        return SinusoidTasks(self.shots if shots is None else shots, self.queries if queries is None else queries, self.device)

    def to(self, device: str | torch.device) -> SinusoidTasks:
        return SinusoidTasks(self.shots, self.queries, device)

    @property
    def protocol(self) -> dict[str, Any]:
        return {"ways": None, "shots": self.shots, "queries": self.queries}

    def __repr__(self) -> str:
        return f"SinusoidTasks(shots={self.shots}, queries={self.queries})"


class Sinusoid(TaskFamily[SinusoidTasks]):
    """Train, validation and test are one continuous family: no two draws share a sinusoid, so separate seeds keep them apart."""

    def __init__(self, shots: Size = 10, queries: Size = 10):
        super().__init__(*(SinusoidTasks(shots, queries) for _ in range(3)))


