"""FeatureNoise: the same examples, less exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.episode import Episode, Examples
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, check_floats


@checked
@dataclass(frozen=True)
class FeatureNoise(TaskAugmentation):
    """x + std * e,  e ~ N(0, 1), on the support and the query of meta-training; x as the learner sees it, normalised.

    Raises:
        ArgumentError: std below 0.

    Examples:
        >>> x, y = torch.zeros(2000, 5), torch.arange(2000) // 100
        >>> tasks = qs.tasks.LabelledTasks(x, y, shots=20, augment=[qs.tasks.FeatureNoise(std=0.5)])
        >>> round(float(tasks.sample(50).support.x.std()), 1)
        0.5
    """

    std: NonNegativeFloat = 0.1

    makes = "new examples"

    def check(self, x: Any, target: Target) -> None:
        check_floats(self, x)

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        def noisy(part: Examples) -> Examples:
            noise = torch.randn(part.x.shape, generator=generator).to(part.x)
            return part.like(part.x + self.std * noise, part.y)

        return Episode(noisy(episode.support), noisy(episode.query), classes=episode.classes)
