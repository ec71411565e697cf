"""Sinusoids: the regression tasks on which MAML was first shown.

    y  =  A sin(x - phase),      A ~ U[0.1, 5],   phase ~ U[0, pi],   x ~ U[-5, 5]

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, section 5.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.synthetic.generated import SPLITS, GeneratedTasks, Truth


class SinusoidTasks(GeneratedTasks):
    """Sinusoids of random amplitude and phase; x and y are (tasks, examples, 1), float32. Truth: amplitude, phase (tasks,)."""

    def __init__(self, shots: Size = 10, queries: Size = 10, *, split: str = "train"):
        super().__init__(split, ways=None, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        amplitude = uniform(0.1, 5.0, n, generator=generator)
        phase = uniform(0.0, math.pi, n, generator=generator)

        def examples(each: int) -> Examples:
            x = uniform(-5.0, 5.0, n, each, 1, generator=generator)
            return Examples(x, amplitude[:, None, None] * torch.sin(x - phase[:, None, None]))

        return Episode(examples(shots), examples(queries)), {"amplitude": amplitude, "phase": phase}


@checked
class Sinusoid(TaskFamily[SinusoidTasks]):
    """Regression on sinusoids.

    The three splits are one continuum (see `generated`): no seed gives a test task that was trained on. The
    paper's pre-trained control learns from `train.examples()`, the points of many sinusoids pooled.

    Args:
        shots: points to learn from, or a range (low, high) from which their number is drawn for each batch.
        queries: points to be scored on, likewise.

    Examples:
        >>> tasks = qs.tasks.Sinusoid(shots=5, queries=10)
        >>> episode, truth = tasks.train.sample_with_truth(4)
        >>> amplitude, phase = (truth[name][:, None, None] for name in ("amplitude", "phase"))
        >>> torch.allclose(episode.query.y, amplitude * torch.sin(episode.query.x - phase), atol=1e-5)
        True
    """

    def __init__(self, shots: Size = 10, queries: Size = 10):
        train, validation, test = (SinusoidTasks(shots, queries, split=split) for split in SPLITS)
        super().__init__(train, validation, test)


def uniform(low: float, high: float, *shape: int, generator: torch.Generator) -> Tensor:
    """U[low, high), float32."""
    return low + (high - low) * torch.rand(*shape, generator=generator)
