"""Task augmentation: more meta-training tasks than there are, made from those there are.

`Rotations` makes classes, once, from the data; the others change episodes as they are drawn,
augment(episode, generator) -> episode, for a batch of them with a leading axis `tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ShapeError

EpisodeAugmentation = Callable[[Episode, torch.Generator], Episode]


@dataclass(frozen=True)
class Rotations:
    """Every class turned by 90, 180 and 270 degrees is a further class (Santoro et al., "MANN", ICML 2016, section 4.1)."""

    def classes(self, x: Tensor, y: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
        """Images (N, channels, side, side) with labels and names -> four times as many, named 'class/rot090' and so on."""
        if x.ndim != 4 or x.shape[-1] != x.shape[-2]:
            raise ShapeError(
                "augment=[Rotations()]",
                expected="square images (N, channels, side, side)",
                got=f"x of shape {tuple(x.shape)}",
                do="Leave Rotations() out for what is no image.",
            )
        turned = torch.cat([torch.rot90(x, turns, (-2, -1)) for turns in range(4)])
        labels = torch.cat([y + turns * len(names) for turns in range(4)])
        return turned, labels, list(names) + [f"{name}/rot{90 * turns:03d}" for turns in range(1, 4) for name in names]


@dataclass(frozen=True)
class PermuteLabels:
    """The labels of each task renamed by a random permutation, the same in support and query.

    `LabelledTasks` number the classes of an episode in random order as it is, so there it changes nothing but the draw; it is for
    tasks whose labels mean the same in each, so that a learner cannot answer without its support (Rajendran et al.,
    "Meta-learning requires meta-augmentation", NeurIPS 2020).
    """

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        ways = episode.support.ways
        if ways is None:
            return episode
        order = torch.rand(len(episode), ways, generator=generator).argsort(1).to(episode.support.y.device)
        support, query = (Examples(part.x, order.gather(1, part.y), ways=ways) for part in (episode.support, episode.query))
        return Episode(support, query)


@dataclass(frozen=True)
class FeatureNoise:
    """x + std * e,  e ~ N(0, 1), on the support and the query of meta-training."""

    std: float = 0.1

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        def noisy(part: Examples) -> Examples:
            noise = torch.randn(part.x.shape, generator=generator).to(part.x)
            return Examples(part.x + self.std * noise, part.y, ways=part.ways)

        return Episode(noisy(episode.support), noisy(episode.query))


@dataclass(frozen=True)
class MixTasks:
    """Two tasks mixed class by class:  x_r = l x_{i,r} + (1 - l) x_{j,r'},   l ~ Beta(alpha, alpha) for each task.

    Class r of task i meets a class r' of a random other task j of the batch; support meets support, query meets query. A share
    `probability` of the tasks is mixed, the others stay.

    Source: Yao, Zhang & Finn, "Meta-learning with fewer tasks through task interpolation", ICLR 2022, eq. 5-6 (no shared labels).
    """

    alpha: float = 0.5
    probability: float = 0.5

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        n, ways = len(episode), episode.support.ways
        if n < 2 or ways is None:
            return episode
        partner = (torch.arange(n) + torch.randint(1, n, (n,), generator=generator)) % n
        classes = torch.rand(n, ways, generator=generator).argsort(1)
        weight = _beta(self.alpha, n, generator)
        weight = torch.where(torch.rand(n, generator=generator) < self.probability, weight, torch.ones(n))
        return Episode(*(_mixed(part, partner, classes, weight, ways) for part in (episode.support, episode.query)))


def _mixed(part: Examples, partner: Tensor, classes: Tensor, weight: Tensor, ways: int) -> Examples:
    """Each task's examples with those of its partner, whose class `classes[r]` stands in for class r."""
    x, device = part.x, part.x.device
    partner, classes = partner.to(device), classes.to(device)
    by_class = part.y.argsort(dim=1, stable=True)  # (tasks, ways * each), class after class
    each = by_class.shape[1] // ways
    place = by_class.argsort(1)  # where an example stands in that order
    other = by_class[partner].reshape(len(x), ways, each).gather(1, classes[..., None].expand(-1, -1, each)).flatten(1)
    rows = other.gather(1, place)  # for each example the one of the partner that it meets
    met = x[partner[:, None], rows]
    share = weight.to(x).reshape(-1, *(1,) * (x.ndim - 1))
    return Examples(share * x + (1 - share) * met, part.y, ways=ways)


def _beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """n draws of Beta(alpha, alpha), as the ratio of two gamma draws."""
    with_seed = torch.Generator().manual_seed(int(torch.randint(2**31, (), generator=generator)))
    gammas = torch._standard_gamma(torch.full((2, n), alpha), generator=with_seed)
    return gammas[0] / gammas.sum(0).clamp_min(1e-12)
