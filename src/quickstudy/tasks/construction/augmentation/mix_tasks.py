"""MixTasks: tasks between two tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, check_floats
from quickstudy.tasks.construction.augmentation.pairing import Pairs, beta, unnamed


@checked
@dataclass(frozen=True)
class MixTasks(TaskAugmentation):
    """Mix pairs of tasks, class by class where they have classes:

        x_r  =  l x_{i,r} + (1 - l) x_{j,r'},       l ~ Beta(alpha, alpha) for each task

    Class r of task i is paired with a class r' of another random task j of the batch; supports mix with supports and queries
    with queries, with the same l. Tasks with targets mix row by row, and y mixes like x (which needs y to mean the same in all
    tasks). Each task is mixed with this `probability`. The names of classes are dropped: those of a mixed task are mixtures.

    Source: Yao, Zhang & Finn, "Meta-learning with fewer tasks through task interpolation", ICLR 2022, section 3 (MLTI). Differs
    from the paper, which mixes hidden layers of the network, drawn anew each time, and sometimes two classes of one task: here
    inputs of different tasks only, since episodes are changed before any learner sees them. Its published code draws from
    Beta(2, 2).

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

    makes = "new tasks"

    def __post_init__(self) -> None:
        check_alpha("MixTasks", self.alpha)

    def check(self, x: Any, target: Target) -> None:
        check_floats(self, x)

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        n, pairs = len(episode), Pairs.drawn(self, episode, generator)
        weight = beta(self.alpha, n, generator)
        weight = torch.where(torch.rand(n, generator=generator) < self.probability, weight, torch.ones_like(weight))
        return Episode(*(_mixed(part, pairs, weight) for part in (episode.support, episode.query)))


def _mixed(part: Examples, pairs: Pairs, weight: Tensor) -> Examples:
    """Each example mixed with its partner, weight (tasks,)."""
    task, row = pairs.other(part)

    def mix(value: Tensor) -> Tensor:
        share = weight.to(value).view(-1, *(1,) * (value.ndim - 1))
        return share * value + (1 - share) * value[task, row]

    return part.like(mix(part.x), part.y if part.ways is not None else mix(part.y), target=unnamed(part))


def check_alpha(name: str, alpha: float) -> None:
    """Raise ArgumentError unless Beta(alpha, alpha) is a distribution."""
    if not alpha > 0:
        raise ArgumentError(f"{name}(alpha)", expected="above 0", got=str(alpha), do="0.5 or 2 are common.")
