"""Task augmentation: further meta-training tasks, made from existing ones.

`Rotations` adds classes to the data once; the others change episodes as they are drawn,
augment(episode, generator) -> episode, a batch of them with a leading axis `tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, Probability, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.targets import Labels, Target

EpisodeAugmentation = Callable[[Episode, torch.Generator], Episode]
TURN = r"/rot(000|090|180|270)$"  # suffix of a rotated class's name


@checked
@dataclass(frozen=True)
class Rotations:
    """Add each class rotated by 90, 180 and 270 degrees as a further class. Memory holds four times the images.

    Source: Santoro et al., "Meta-learning with memory-augmented neural networks", ICML 2016, section 4.1.

    Examples:
        >>> images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 0, 0, 1, 1, 1])
        >>> x, y, names = qs.tasks.Rotations().classes(images, labels, ["alpha", "beta"])
        >>> len(x), names[2:4]
        (24, ['alpha/rot090', 'beta/rot090'])
    """

    def classes(self, x: Tensor, y: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
        """Images (N, channels, side, side) with labels and names -> four times as many, named 'class/rot090' and so on.

        Raises:
            ShapeError: images that are not square.
        """
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


@checked
@dataclass(frozen=True)
class PermuteLabels:
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

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        ways = episode.support.ways
        if ways is None:
            raise _no_classes("PermuteLabels()")
        order = torch.rand(len(episode), ways, generator=generator).argsort(1)
        classes = None if episode.classes is None else episode.classes.relabelled(order)
        order = order.to(episode.support.y.device)
        support, query = (
            part.like(part.x, order.gather(1, part.y), target=unnamed(part)) for part in (episode.support, episode.query)
        )
        return Episode(support, query, classes=classes)


@checked
@dataclass(frozen=True)
class FeatureNoise:
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

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        def noisy(part: Examples) -> Examples:
            if not part.x.is_floating_point():
                raise UnsupportedError(
                    "augment=[FeatureNoise()]", expected="x of floats", got=str(part.x.dtype), do="Leave it out for such x."
                )
            noise = torch.randn(part.x.shape, generator=generator).to(part.x)
            return part.like(part.x + self.std * noise, part.y)

        return Episode(noisy(episode.support), noisy(episode.query), classes=episode.classes)


@checked
@dataclass(frozen=True)
class MixTasks:
    """Mix pairs of tasks, class by class where they have classes:

        x_r  =  l x_{i,r} + (1 - l) x_{j,r'},       l ~ Beta(alpha, alpha) for each task

    Class r of task i is paired with a class r' of another random task j of the batch; supports mix with supports and queries
    with queries, with the same l. Tasks with targets mix row by row, and y mixes like x (which needs y to mean the same in all
    tasks). Each task is mixed with this `probability`. The names of classes are dropped: those of a mixed task are mixtures.

    Source: Yao, Zhang & Finn, "Meta-learning with fewer tasks through task interpolation", ICLR 2022, section 3. Differs from the
    paper, which also mixes the hidden layers of the network: here inputs only. Its published code draws from Beta(2, 2).

    Raises:
        ArgumentError: alpha of 0 or less; a probability outside [0, 1].

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=3).train.sample(4)
        >>> mixed = qs.tasks.MixTasks(probability=1.0)(episodes, torch.Generator().manual_seed(0))
        >>> mixed.support.x.shape == episodes.support.x.shape, torch.equal(mixed.support.x, episodes.support.x)
        (True, False)
    """

    alpha: float = 0.5
    probability: Probability = 0.5

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ArgumentError("MixTasks(alpha)", expected="above 0", got=str(self.alpha), do="0.5 or 2 are common.")

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        n, ways = len(episode), episode.support.ways
        if n < 2:
            raise UnsupportedError(
                "augment=[MixTasks()]",
                expected="a batch of two tasks or more, to mix",
                got="one",
                do="Sample two and keep one, as `sample` does.",
            )
        if not episode.support.x.is_floating_point():
            raise UnsupportedError(
                "augment=[MixTasks()]", expected="x of floats", got=str(episode.support.x.dtype), do="Leave it out for such x."
            )
        partner = (torch.arange(n) + torch.randint(1, n, (n,), generator=generator)) % n
        classes = torch.rand(n, ways or 1, generator=generator).argsort(1)
        weight = beta(self.alpha, n, generator)
        weight = torch.where(torch.rand(n, generator=generator) < self.probability, weight, torch.ones_like(weight))
        return Episode(*(_mixed(part, partner, classes, weight) for part in (episode.support, episode.query)))


def beta(alpha: float, n: int, generator: torch.Generator) -> Tensor:
    """n draws of Beta(alpha, alpha), float64. torch's takes no generator, so NumPy's draws them, seeded from ours."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n))


def _mixed(part: Examples, partner: Tensor, classes: Tensor, weight: Tensor) -> Examples:
    """Mix each task's examples with those of its partner, class r with the partner's class `classes[r]`."""
    device, (n, ways) = part.x.device, classes.shape
    partner, classes = partner.to(device), classes.to(device)
    group = part.y if part.ways is not None else torch.zeros(part.y.shape[:2], dtype=torch.int64, device=device)
    by_class = group.argsort(dim=1, stable=True)  # (tasks, ways * each), class after class
    each = by_class.shape[1] // ways
    other = by_class[partner].view(n, ways, each).gather(1, classes[..., None].expand(-1, -1, each)).flatten(1)
    rows = other.gather(1, by_class.argsort(1))  # for each example the partner's example that it is mixed with

    def mix(value: Tensor) -> Tensor:
        share = weight.to(value).view(-1, *(1,) * (value.ndim - 1))
        return share * value + (1 - share) * value[partner[:, None], rows]

    return part.like(mix(part.x), part.y if part.ways is not None else mix(part.y), target=unnamed(part))


def unnamed(part: Examples) -> Target:
    """Its kind of target without the names of classes, which hold no longer."""
    return Labels(part.target.count) if isinstance(part.target, Labels) else part.target


def _no_classes(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"augment=[{name}]", expected="tasks with classes", got="tasks with targets", do="Leave it out for regression."
    )
