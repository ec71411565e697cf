"""LabelNoise: supports with wrong labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, named


@checked
@dataclass(frozen=True)
class LabelNoise(TaskAugmentation):
    """Exchange labels of support examples in meta-training: each is wrong with this probability; the query keeps its own.

    The examples of a task are grouped in pairs of different classes, of an odd number of classes also in threes, each of which
    exchanges its labels with this `probability`. So every class keeps its number of examples, at one shot too, and a wrong label
    is any other class's equally often. A learner that is trained so trusts no single example of its support.

    Raises:
        ArgumentError: a probability outside [0, 1].

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=5, shots=10).train.sample(400)
        >>> noisy = qs.tasks.LabelNoise(0.2)(episodes, torch.Generator().manual_seed(0))
        >>> round(float((noisy.support.y != episodes.support.y).float().mean()), 1)
        0.2
    """

    probability: Probability = 0.1

    makes = "new examples"
    needs_classes = True

    def check(self, x: Any, target: Target) -> None:
        super().check(x, target)
        if (target.ways or 0) < 2:
            raise UnsupportedError(
                named(self), expected="two classes or more", got=str(target.ways), do="Leave it out, or raise `ways`."
            )

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        support, ways = episode.support, episode.support.ways or 0
        n, size = support.y.shape
        if size == 0 or not bool((torch.nn.functional.one_hot(support.y, ways).sum(1) == size // ways).all()):
            raise UnsupportedError(
                named(self),
                expected="as many support examples of each class, one or more",
                got=f"{size} of {ways} classes" if size else "no support",
                do="Leave it out.",
            )
        each = size // ways
        key = torch.rand(n, size, generator=generator) + support.y.cpu()
        by_class = key.argsort(1)  # class after class, each in random order
        new = exchanged(n * each, ways, self.probability, generator).view(n, each, ways).transpose(1, 2).flatten(1)
        y = torch.empty_like(new).scatter_(1, by_class, new).to(support.y.device)
        return Episode(support.like(support.x, y), episode.query, classes=episode.classes)


def exchanged(n: int, ways: int, probability: float, generator: torch.Generator) -> Tensor:
    """n times the labels 0..ways-1, of which pairs, and three of an odd number, have exchanged theirs: (n, ways)."""
    order = torch.rand(n, ways, generator=generator).argsort(1)
    place = torch.arange(ways)
    next_in_cycle, cycle = place ^ 1, place // 2
    if ways % 2:
        next_in_cycle[-3:], cycle[-1] = torch.tensor([ways - 2, ways - 1, ways - 3]), cycle[-2]
    chosen = torch.rand(n, int(cycle.max()) + 1, generator=generator) < probability
    taken = torch.where(chosen[:, cycle], next_in_cycle, place)
    return torch.empty_like(order).scatter_(1, order, order.gather(1, taken))
