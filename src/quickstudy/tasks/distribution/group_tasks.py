"""Rows of a table as tasks with targets, one task for each group.

task g:   rows of group g;     support  ~  `shots` of them,    query  ~  `queries` others
in time:  `shots` consecutive rows of group g are support; the query begins when the last of their targets is known:

          time_q  >=  time_s + horizon          for every row s of the support and q of the query
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, TaskError
from quickstudy.targets import Target, Values
from quickstudy.tasks.construction.augmentation.kinds import EpisodeAugmentation, augmented, check_tasks, described, said
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.content import Content, Held, check_content
from quickstudy.tasks.distribution.generator import fresh_generator
from quickstudy.tasks.distribution.interface import Preprocessing, TaskDistribution, check_count
from quickstudy.tasks.distribution.rows import gathered
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
        time: (N,), when each row was measured, not decreasing within a group; then a task's support precedes its query. None:
            the rows of a group have no order.
        horizon: needed with `time`, in its units: how far beyond its row's time a target reaches.
        augment: changes of whole episodes, for meta-training: see `quickstudy.tasks.construction.augmentation`.
        target: the kind of y, see `quickstudy.targets`; None: values.
        preprocessing: brings x into the form that a learner sees, as episodes are gathered; None: x as it is.
        content: what tells that two rows are the same, such as the sentence that x encodes; None: rows are not compared.

    Raises:
        ShapeError: a content of another length.
        TaskError: a group with fewer than shots + queries rows, or too few behind the horizon.
        ArgumentError: `time` without `horizon`, or the contrary; rows that are not in order of time; queries below 1, shots
            below 0, or one that is neither an int nor a (low, high) range.
        UnsupportedError: an augmentation that cannot change such tasks.

    Examples:
        >>> x, y, patient = torch.randn(60, 3), torch.randn(60, 1), torch.arange(60) // 20
        >>> tasks = qs.tasks.GroupTasks(x, y, patient, names=["Ann", "Ben", "Cai"], shots=5, queries=10)
        >>> episodes = tasks.sample(4)
        >>> episodes.support.x.shape, episodes.query.y.shape
        (torch.Size([4, 5, 3]), torch.Size([4, 10, 1]))
    """

    ways = None
    content: Content | None = None

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        group: Tensor,
        names: Sequence[str],
        *,
        shots: Size = 5,
        queries: Size = 10,
        time: Tensor | None = None,
        horizon: NonNegativeFloat | None = None,
        augment: Sequence[EpisodeAugmentation] = (),
        target: Target | None = None,
        preprocessing: Preprocessing | None = None,
        content: Content | None = None,
    ):
        self.target, self.preprocessing = target or Values(), preprocessing
        if content is not None:
            check_content(content, len(y))
            self.content = content
        self.x, self.y, self.group, self.index, self.class_names = x, y, group, ClassIndex(group), list(names)
        self.shots, self.queries, self.augment = shots, queries, tuple(augment)
        check_tasks(self.augment, x[:1][None], self.target)
        check_horizon(horizon, time is not None)
        self.time, self.horizon = time, horizon
        self._known = None if time is None or horizon is None else self._first_known(time, horizon)
        self.check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes: x (tasks, shots or queries, *feature), y (tasks, shots or queries, *target)."""
        check_count(n)
        generator = generator or fresh_generator()
        shots, queries = drawn(self.shots, generator), drawn(self.queries, generator)
        return augmented(self.augment, n, generator, lambda tasks: self._drawn(tasks, shots, queries, generator))

    @property
    def protocol(self) -> dict[str, Any]:
        """shots and queries; what each augmentation makes."""
        return super().protocol | ({"augment": described(self.augment)} if self.augment else {})

    def examples(self) -> Examples:
        """All rows of all groups."""
        return Examples(self.shown(self.x), self.y, target=self.target)

    def contents(self, *, read: bool = False) -> list[Held]:
        return [] if self.content is None else [Held(self.content, self.group, self.class_names)]

    def to(self, device: str | torch.device) -> Self:
        other = self.with_()
        other.x, other.y = self.x.to(device), self.y.to(device)
        return other

    def check_protocol(self) -> None:
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)
        shots, queries, counts = largest(self.shots), largest(self.queries), self.index.counts
        each = shots + queries
        behind = f", {queries} of them behind the horizon" if self.horizon else ""
        short = (counts < each if self._known is None else self._windows(shots, queries) < 1).nonzero().flatten().tolist()
        if short:
            fewest = min(short, key=counts.tolist().__getitem__)
            more = f" and too few of {len(short) - 1} more groups" if len(short) > 1 else ""
            raise TaskError(
                f"shots={self.shots}, queries={self.queries}",
                expected=f"at least {each} rows of every group{behind}",
                got=f"{int(counts[fewest])} of group {self.class_names[fewest]!r}{more}",
                do="Lower `shots` or `queries`, or leave such groups out.",
            )

    def _drawn(self, n: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        groups = torch.randint(len(self.class_names), (n, 1), generator=generator)
        if self._known is None:
            support, query = self.index.choose_rows(groups, shots + queries, generator)[:, 0].split((shots, queries), dim=1)
        else:
            windows = self._windows(shots, queries)[groups]
            first = (torch.rand(n, 1, generator=generator) * windows).long().minimum(windows - 1) + self.index.starts[groups]
            known = self._known[first + shots - 1] if shots else first
            support, query = (self.index.rows[at + torch.arange(k)] for at, k in ((first, shots), (known, queries)))
        parts = ((gathered(self.x, part), gathered(self.y, part)) for part in (support, query))
        return Episode(*(Examples(self.shown(x), y, target=self.target) for x, y in parts))

    def shown(self, x: Tensor) -> Any:
        """x as a learner sees it."""
        return x if self.preprocessing is None else self.preprocessing.apply(x)

    def _first_known(self, time: Tensor, horizon: float) -> Tensor:
        """For each row, in the order of `index.rows`, the first later one of its group at or after time + horizon; or the end."""
        moments = time.flatten().double()[self.index.rows]
        known = torch.empty_like(self.index.rows)
        for start, count in zip(self.index.starts.tolist(), self.index.counts.tolist(), strict=True):
            own = moments[start : start + count].contiguous()
            if not bool((own.diff() >= 0).all()):
                raise ArgumentError(
                    "time", expected="the rows of each group in order of time", got="others", do="Sort them, or use from_groups."
                )
            later = torch.arange(1, count + 1)
            known[start : start + count] = start + torch.searchsorted(own, own + horizon).maximum(later)
        return known

    def _windows(self, shots: int, queries: int) -> Tensor:
        """How many tasks each group has: (groups,). They begin at its first rows."""
        assert self._known is not None
        place = torch.arange(len(self.index.rows))
        group = torch.repeat_interleave(torch.arange(len(self.index.counts)), self.index.counts)
        ends = (self.index.starts + self.index.counts)[group]
        last = self._known if shots else place
        fits = (last + queries <= ends) & (place - self.index.starts[group] >= shots - 1)
        return torch.zeros_like(self.index.counts).index_add_(0, group, fits.long())

    def __repr__(self) -> str:
        rows = f"{len(self.class_names)} groups, {len(self.y)} rows of shape {tuple(self.x.shape[1:])}"
        order = "" if self.time is None else f", in time, horizon={self.horizon:g}"
        return f"{type(self).__name__}({rows}, shots={self.shots}, queries={self.queries}{order}{said(self.augment)})"


def check_horizon(horizon: float | None, in_time: bool) -> None:
    """Raise ArgumentError for an order of time without a horizon, or for a horizon without one."""
    if in_time and horizon is None:
        raise ArgumentError(
            "horizon",
            expected="how far beyond its row's time a target reaches, in the units of `time`, or in rows with split='time'",
            got="none",
            do="horizon=0 if each target was measured with its row; else a support's last targets would hold those of the query.",
        )
    if horizon is not None and not in_time:
        raise ArgumentError("horizon", expected="rows in order of time", got="no `time`", do="Give `time`, or split='time'.")
