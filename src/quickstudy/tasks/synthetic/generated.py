"""Tasks drawn from a formula instead of from data: unlimited, and each with a known truth.

Meta-training, meta-validation and meta-test draw from the same continuum, in which no task occurs twice. Only a shared seed could
repeat one, so each of the three branches its own generator: one seed gives three different sequences of tasks.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.targets import Labels
from quickstudy.tasks.distribution.generator import branch, fresh_generator
from quickstudy.tasks.distribution.interface import TaskDistribution, check_count
from quickstudy.tasks.distribution.size import Size, check_size, drawn

SPLITS = ("train", "validation", "test")
POOLED_TASKS = 2000  # tasks that `examples` pools

Truth = dict[str, Tensor]  # the hidden numbers of a batch of tasks, each with the leading axis `tasks`


class GeneratedTasks(TaskDistribution):
    """The base of distributions drawn from a formula. A subclass defines `draw` and passes its protocol to `__init__`.

    Args:
        ways: None for tasks with targets.
        split: "train", "validation" or "test".

    Examples:
        >>> class Lines(GeneratedTasks):  # y = slope * x
        ...     def draw(self, n, ways, shots, queries, generator):
        ...         x, slope = (torch.randn(n, rows, 1, generator=generator) for rows in (shots + queries, 1))
        ...         parts = (qs.Examples(x[:, part], slope * x[:, part]) for part in (slice(shots), slice(shots, None)))
        ...         return qs.Episode(*parts), {"slope": slope[:, 0, 0]}
        >>> episode, truth = Lines("train", ways=None, shots=2, queries=3).sample_with_truth(4)
        >>> episode.query.x.shape, truth["slope"].shape
        (torch.Size([4, 3, 1]), torch.Size([4]))
    """

    def __init__(self, split: str, *, ways: Size | None, shots: Size, queries: Size):
        self.split, self.ways, self.shots, self.queries = split, ways, shots, queries
        self.device = torch.device("cpu")
        self.check_protocol()

    @abstractmethod
    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        """n episodes with a leading axis `tasks`, and the truth behind them. `ways` is 0 for tasks with targets."""

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        return self.sample_with_truth(n, generator=generator)[0]

    def sample_with_truth(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Episode, Truth]:
        """The same episodes as `sample`, and the hidden numbers that generated them.

        Raises:
            ArgumentError: n below 1.
        """
        check_count(n)
        generator = branch(generator or fresh_generator(), SPLITS.index(self.split), len(SPLITS))
        ways, shots, queries = (drawn(size, generator) for size in (self.ways or 0, self.shots, self.queries))
        episode, truth = self.draw(n, ways, shots, queries, generator)
        return episode.map(lambda leaf: leaf.to(self.device)), {name: value.to(self.device) for name, value in truth.items()}

    def examples(self) -> Examples:
        """The pooled queries of 2000 tasks, always the same ones; each class of each task becomes a class of its own."""
        query = self.sample(POOLED_TASKS, generator=torch.Generator().manual_seed(0)).query
        y, target = query.y, query.target
        if isinstance(target, Labels):
            y = y + target.count * torch.arange(POOLED_TASKS, device=self.device)[:, None]
            target = Labels(target.count * POOLED_TASKS)
        return Examples(query.x.flatten(0, 1), y.flatten(0, 1), target=target)

    def to(self, device: str | torch.device) -> Self:
        other = self.with_()
        other.device = torch.device(device)
        return other

    def check_protocol(self) -> None:
        if self.ways is not None:
            check_size("ways", self.ways, 1)
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.protocol.items() if size is not None)
        return f"{type(self).__name__}({self.split!r}, {sizes})"
