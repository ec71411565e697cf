"""Rows of a table as tasks with targets, one task for each group.

task g:   rows of group g;     support  ~  `shots` of them,    query  ~  `queries` others
in time:  a window of consecutive rows of group g; the first are support, the others query
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import TaskError
from quickstudy.targets import Target, Values
from quickstudy.tasks.construction.augmentation import EpisodeAugmentation
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.generator import fresh_generator
from quickstudy.tasks.distribution.interface import TaskDistribution, check_count
from quickstudy.tasks.distribution.labelled import augmented, gathered
from quickstudy.tasks.distribution.size import Size, check_size, drawn, largest


@checked
class GroupTasks(TaskDistribution):
    """Tasks with targets, one for each group of rows.

    Args:
        x: (N, *feature).
        y: (N, *target), of the kind `target`.
        group: (N,) integers 0..G-1.
        names: the names of the groups.
        shots, queries: rows of an episode, numbers or ranges.
        in_time: the rows of each group are in order of time, and a task's support precedes its query.
        augment: changes of whole episodes, for meta-training: see `quickstudy.tasks.construction.augmentation`.
        target: the kind of y, see `quickstudy.targets`; None: values.

    Raises:
        TaskError: a group with fewer than shots + queries rows.
        ArgumentError: queries below 1, shots below 0, or one that is neither an int nor a (low, high) range.

    Examples:
        >>> x, y, patient = torch.randn(60, 3), torch.randn(60, 1), torch.arange(60) // 20
        >>> tasks = qs.tasks.GroupTasks(x, y, patient, names=["Ann", "Ben", "Cai"], shots=5, queries=10)
        >>> episodes = tasks.sample(4)
        >>> episodes.support.x.shape, episodes.query.y.shape
        (torch.Size([4, 5, 3]), torch.Size([4, 10, 1]))
    """

    ways = None

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        group: Tensor,
        names: Sequence[str],
        *,
        shots: Size = 5,
        queries: Size = 10,
        in_time: bool = False,
        augment: Sequence[EpisodeAugmentation] = (),
        target: Target | None = None,
    ):
        self.target = target or Values()
        self.x, self.y, self.index, self.class_names = x, y, ClassIndex(group), list(names)
        self.shots, self.queries, self.in_time, self.augment = shots, queries, in_time, tuple(augment)
        self.check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes: x (tasks, shots or queries, *feature), y (tasks, shots or queries, *target)."""
        check_count(n)
        generator = generator or fresh_generator()
        shots, queries = drawn(self.shots, generator), drawn(self.queries, generator)
        return augmented(self.augment, n, generator, lambda tasks: self._drawn(tasks, shots, queries, generator))

    def examples(self) -> Examples:
        """All rows of all groups."""
        return Examples(self.x, self.y, target=self.target)

    def to(self, device: str | torch.device) -> Self:
        other = self.with_()
        other.x, other.y = self.x.to(device), self.y.to(device)
        return other

    def check_protocol(self) -> None:
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)
        each, counts = largest(self.shots) + largest(self.queries), self.index.counts
        short = (counts < each).nonzero().flatten().tolist()
        if short:
            fewest = min(short, key=counts.tolist().__getitem__)
            more = f" and too few of {len(short) - 1} more groups" if len(short) > 1 else ""
            raise TaskError(
                f"shots={self.shots}, queries={self.queries}",
                expected=f"at least {each} rows of every group",
                got=f"{int(counts[fewest])} of group {self.class_names[fewest]!r}{more}",
                do="Lower `shots` or `queries`, or leave such groups out.",
            )

    def _drawn(self, n: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        groups = torch.randint(len(self.class_names), (n, 1), generator=generator)
        if self.in_time:
            windows = self.index.counts[groups] - shots - queries + 1
            first = (torch.rand(n, 1, generator=generator) * windows).long()
            rows = self.index.rows[self.index.starts[groups] + first + torch.arange(shots + queries)]
        else:
            rows = self.index.choose_rows(groups, shots + queries, generator)[:, 0]
        support, query = rows.split((shots, queries), dim=1)
        parts = ((gathered(self.x, part), gathered(self.y, part)) for part in (support, query))
        return Episode(*(Examples(x, y, target=self.target) for x, y in parts))

    def __repr__(self) -> str:
        rows = f"{len(self.class_names)} groups, {len(self.y)} rows of shape {tuple(self.x.shape[1:])}"
        order = ", in time" if self.in_time else ""
        return f"{type(self).__name__}({rows}, shots={self.shots}, queries={self.queries}{order})"
