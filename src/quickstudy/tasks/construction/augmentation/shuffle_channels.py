"""ShuffleChannels: classes whose channels are of two classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode, Examples
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation
from quickstudy.tasks.construction.augmentation.pairing import Pairs, unnamed
from quickstudy.tasks.construction.augmentation.permute_channels import check_channels


@checked
@dataclass(frozen=True)
class ShuffleChannels(TaskAugmentation):
    """Put classes of two tasks together channel by channel:

        x_r  =  m_r x_{i,r} + (1 - m_r) x_{j,r'},       m_r ~ Bernoulli(keep) for each channel

    Class r of task i is paired with a class r' of another random task j of the batch; all examples of a class, of support and
    query, have the same mask m_r over channels, or over features where x is a row. Each task is changed with this `probability`.
    The names of classes are dropped: those of a changed task are mixtures.

    Source: Yao et al., "Improving generalization in meta-learning via task augmentation", ICML 2021, section 4.2. Differs from
    the paper, which does it to a hidden layer, draws `keep` from a Beta distribution and adds MetaMix: give both in `augment`.

    Raises:
        ArgumentError: a share outside [0, 1].

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(4)
        >>> shuffled = qs.tasks.ShuffleChannels(probability=1.0)(episodes, torch.Generator().manual_seed(0))
        >>> bool(torch.isin(shuffled.support.x, episodes.support.x).all())
        True
    """

    keep: Probability = 0.5
    probability: Probability = 0.5

    makes = "new tasks"
    needs_classes = True

    def check(self, x: Any, target: Target) -> None:
        super().check(x, target)
        check_channels(self, x)

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        pairs = Pairs.drawn(self, episode, generator)
        shape = (*pairs.classes.shape, episode.support.x.shape[2])
        kept = torch.rand(shape, generator=generator) < self.keep  # (tasks, ways, channels)
        kept |= torch.rand(len(episode), 1, 1, generator=generator) >= self.probability
        return Episode(*(_shuffled(part, pairs, kept) for part in (episode.support, episode.query)))


def _shuffled(part: Examples, pairs: Pairs, kept: Tensor) -> Examples:
    x, (task, row) = part.x, pairs.other(part)
    own = kept.to(x.device)[torch.arange(len(x), device=x.device)[:, None], part.y]  # (tasks, examples, channels)
    own = own.view(*own.shape, *(1,) * (x.ndim - 3))
    return part.like(torch.where(own, x, x[task, row]), part.y, target=unnamed(part))
