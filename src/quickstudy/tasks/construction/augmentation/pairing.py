"""Pairs of tasks whose classes are put together, example by example."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Labels, Target
from quickstudy.tasks.construction.augmentation.kinds import Augmentation, named


class Pairs(NamedTuple):
    """For each task of a batch its partner, (tasks,), and for each of its classes that of the partner, (tasks, ways)."""

    partner: Tensor
    classes: Tensor

    @classmethod
    def drawn(cls, augmentation: Augmentation, episode: Episode, generator: torch.Generator) -> Pairs:
        """A random other task of the batch for each, and a random order of its classes.

        Raises:
            UnsupportedError: a batch of one task.
        """
        n, ways = len(episode), episode.support.ways
        if n < 2:
            raise UnsupportedError(
                named(augmentation),
                expected="a batch of two tasks or more, to mix",
                got="one",
                do="Sample two and keep one, as `sample` does.",
            )
        partner = (torch.arange(n) + torch.randint(1, n, (n,), generator=generator)) % n
        return cls(partner, torch.rand(n, ways or 1, generator=generator).argsort(1))

    def other(self, part: Examples) -> tuple[Tensor, Tensor]:
        """For each example of a support, or of a query, the task and the row of the example that it is paired with.

        Class r meets the partner's class `classes[r]`; without classes the rows meet in order.
        """
        device, (n, ways) = part.x.device, self.classes.shape
        partner, classes = self.partner.to(device), self.classes.to(device)
        by_class = group_of(part).argsort(dim=1, stable=True)  # (tasks, ways * each), class after class
        each = by_class.shape[1] // ways
        other = by_class[partner].view(n, ways, each).gather(1, classes[..., None].expand(-1, -1, each)).flatten(1)
        return partner[:, None], other.gather(1, by_class.argsort(1))


def group_of(part: Examples) -> Tensor:
    """The class of each example, (tasks, examples); zeros where there are none."""
    return part.y if part.ways is not None else torch.zeros(part.y.shape[:2], dtype=torch.int64, device=part.y.device)


def beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """n draws of Beta(alpha, alpha), float64. torch's takes no generator, so NumPy's draws them, seeded from ours."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n))


def unnamed(part: Examples) -> Target:
    """Its kind of target without the names of classes, which hold no longer."""
    return Labels(part.target.count) if isinstance(part.target, Labels) else part.target
