"""PermuteChannels: the channels, or the features, of a task in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import Augmentation, TaskAugmentation, named


@checked
@dataclass(frozen=True)
class PermuteChannels(TaskAugmentation):
    """Permute the channels of images, or the features of rows, of each task, in the same way in support and query.

    It is the first axis of a single x that is permuted. A learner cannot rely on what a channel means, as across tables whose
    columns differ. Each task is permuted with this `probability`.

    Raises:
        ArgumentError: a probability outside [0, 1].

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(2)
        >>> permuted = qs.tasks.PermuteChannels()(episodes, torch.Generator().manual_seed(0))
        >>> torch.equal(permuted.query.x.sort(-1).values, episodes.query.x.sort(-1).values)
        True
    """

    probability: Probability = 1.0

    makes = "new tasks"

    def check(self, x: Any, target: Target) -> None:
        check_channels(self, x)

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        n, channels = len(episode), episode.support.x.shape[2]
        order = torch.rand(n, channels, generator=generator).argsort(1)
        chosen = torch.rand(n, 1, generator=generator) < self.probability
        order = torch.where(chosen, order, torch.arange(channels))

        def permuted(x: Tensor) -> Tensor:
            index = order.to(x.device).view(n, 1, channels, *(1,) * (x.ndim - 3))
            return x.gather(2, index.expand_as(x))

        parts = (part.like(permuted(part.x), part.y) for part in (episode.support, episode.query))
        return Episode(*parts, classes=episode.classes)


def check_channels(augmentation: Augmentation, x: Any) -> None:
    """Raise UnsupportedError for x without two channels, or features."""
    shape = tuple(x.shape[2:]) if isinstance(x, Tensor) else ()
    if not shape or shape[0] < 2:
        raise UnsupportedError(
            named(augmentation),
            expected="x of two channels or features or more",
            got=f"x of shape {shape} for each example",
            do="Leave it out: grey images have one channel.",
        )
