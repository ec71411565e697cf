"""PermuteLabels: the same classes under other numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quickstudy.arguments import checked
from quickstudy.episode import Episode
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation
from quickstudy.tasks.construction.augmentation.pairing import unnamed


@checked
@dataclass(frozen=True)
class PermuteLabels(TaskAugmentation):
    """Permute the labels of each task at random, in the same way in support and query.

    `LabelledTasks` already number the classes of an episode in random order, so there this changes only the draw. It is for
    labels that mean the same in every task: once permuted, a learner cannot predict them without its support (Rajendran et al.,
    "Meta-learning requires meta-augmentation", NeurIPS 2020).

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=3).train.sample(4)
        >>> permuted = qs.tasks.PermuteLabels()(episodes, torch.Generator().manual_seed(0))
        >>> torch.equal(permuted.query.x, episodes.query.x), torch.equal(permuted.query.y, episodes.query.y)
        (True, False)
    """

    makes = "new tasks"
    needs_classes = True

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        order = torch.rand(len(episode), episode.support.ways or 1, generator=generator).argsort(1)
        classes = None if episode.classes is None else episode.classes.relabelled(order)
        order = order.to(episode.support.y.device)
        support, query = (
            part.like(part.x, order.gather(1, part.y), target=unnamed(part)) for part in (episode.support, episode.query)
        )
        return Episode(support, query, classes=classes)
