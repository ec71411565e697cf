"""Episodes across domains: the support comes from some domains, the query from others with the same classes.

    S        ~  uniform, `support` of the D domains, for each episode
    support  ~  uniform, `shots` of each class without replacement, among its examples in S
    query    ~  uniform, `queries` of each class without replacement, among its examples in the other domains

A domain is a group of a column: the drawer, the imaging device, the speaker, the year. What a learner learns there must carry
over from one to another. The contrary is `within=`, where all classes of an episode are of one group.

Source: Li et al., "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI 2018, section 3, whose virtual training
and test domains these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, overload

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Episode
from quickstudy.errors import ArgumentError, TaskError, UnsupportedError, nearest
from quickstudy.targets.known_classes import KnownClasses
from quickstudy.tasks.distribution.class_index import choose
from quickstudy.tasks.distribution.columns import Column
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import largest


class AcrossTasks(LabelledTasks):
    """Labelled tasks whose support and query are of different domains: see `across`."""

    by: str
    column: Column  # the domain of each example
    support_domains: int

    @property
    def protocol(self) -> dict[str, Any]:
        """That of the tasks, the column, and how many of its domains an episode's support is of."""
        return {**super().protocol, "across": self.by, "support_domains": self.support_domains, "renumber": self.renumber}

    def _drawn(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        classes = self._classes(n, ways, generator)
        every = len(self.column.groups)
        inside = torch.zeros(n, every, dtype=torch.bool)
        inside.scatter_(1, choose(torch.rand(n, every, generator=generator), self.support_domains), True)
        support = rows_of(self, self.column, classes, shots, inside, generator)
        query = rows_of(self, self.column, classes, queries, ~inside, generator)
        known = KnownClasses(classes, self.class_names)
        return Episode(self._gathered(support, generator), self._gathered(query, generator), classes=known)

    def _classes(self, n: int, ways: int, generator: torch.Generator) -> Tensor:
        if self.renumber:
            return super()._classes(n, ways, generator)
        return torch.arange(ways).expand(n, ways)

    def _said_within(self) -> str:
        return f"{super()._said_within()}, across={self.by!r}"

    def _of(self, rows: Tensor, y: Tensor, names: Sequence[str]) -> LabelledTasks:
        """The rows with other labels, across the domains that are left."""
        kept = copy(self)
        kept.__class__ = LabelledTasks  # type: ignore[assignment]
        options: dict[str, Any] = {"support": self.support_domains, "renumber": self.renumber}
        return across(kept._of(rows, y, names), self.by, **options)

    def check_protocol(self) -> None:
        """Raise TaskError unless every class has enough examples whichever domains are drawn for the support."""
        super().check_protocol()
        column = self.column
        every, inside = len(column.groups), self.support_domains
        if not 1 <= inside < every:
            raise ArgumentError(
                "across(support=)",
                expected=f"1 to {every - 1} of the {every} domains of {self.by!r}, so that others are left for the query",
                got=str(inside),
                do="Leave it out: half of them.",
            )
        if not self.renumber:
            check_all_classes(self, "renumber=False")
        counts = column.counts(self.y.cpu(), len(self.counts))
        fewest = counts.sort(1).values.cumsum(1)  # (classes, D): of the 1, 2, ... domains that have the fewest
        for name, domains, each in (("shots", inside, largest(self.shots)), ("queries", every - inside, largest(self.queries))):
            short = (fewest[:, domains - 1] < each).nonzero().flatten()
            if len(short):
                raise self._too_few(name, domains, each, int(short[0]), counts)

    def _too_few(self, name: str, domains: int, each: int, label: int, counts: Tensor) -> TaskError:
        have = counts[label].tolist()
        held = [group for group, count in zip(self.column.groups, have, strict=True) if count]
        where = f"in {held[0]!r} alone" if len(held) == 1 else f"in {len(held)} of the {len(have)} domains of {self.by!r}"
        least = sum(sorted(have)[:domains])
        return TaskError(
            f"{name}={each}, across {self.by!r}",
            expected=f"{each} examples of every class in any {domains} of the domains",
            got=f"{least} of class {self.class_names[label]!r}, which is {where}",
            do=f"Lower `{name}`, change `support`, or leave out classes and domains that have too few (`only`, `of_domains`).",
        )


def rows_of(
    tasks: LabelledTasks, column: Column, classes: Tensor, each: int, domains: Tensor, generator: torch.Generator
) -> Tensor:
    """`each` rows of every class of (tasks, ways), of the domains (tasks, D) that are True: (tasks, ways, each)."""
    index = tasks.index
    starts, counts = index.starts[classes][..., None], index.counts[classes][..., None]
    places = torch.arange(int(counts.max()))
    rows = index.rows[starts + places.minimum(counts - 1)]  # (tasks, ways, most)
    there = domains[torch.arange(len(classes))[:, None, None], column.of[rows]] & (places < counts)
    key = torch.rand(rows.shape, generator=generator).masked_fill_(~there, -1.0)
    return rows.gather(2, choose(key, each)) if each else rows[..., :0]


def check_all_classes(tasks: LabelledTasks, argument: str) -> None:
    """Raise ArgumentError unless every episode has all classes, which then keep their numbers."""
    if tasks.within is not None:
        raise ArgumentError(
            argument,
            expected="all classes in every episode",
            got=f"tasks within one {tasks.within.column!r}",
            do="Give tasks.with_(within=False), or across(..., renumber=True).",
        )
    if not isinstance(tasks.ways, int) or tasks.ways != len(tasks.counts):
        raise ArgumentError(
            "ways",
            expected=f"all {len(tasks.counts)} classes, where they keep their numbers ({argument})",
            got=str(tasks.ways),
            do=f"Give ways={len(tasks.counts)}, or across(..., renumber=True).",
        )


@overload
def across(tasks: LabelledTasks, by: str, *, support: PositiveInt | None = None, renumber: bool = True) -> AcrossTasks: ...
@overload
def across(
    tasks: TaskFamily[Any], by: str, *, support: PositiveInt | None = None, renumber: bool = True
) -> TaskFamily[AcrossTasks]: ...


@checked
def across(
    tasks: TaskDistribution | TaskFamily[Any], by: str, *, support: PositiveInt | None = None, renumber: bool = True
) -> AcrossTasks | TaskFamily[AcrossTasks]:
    """The same tasks with support and query from different domains.

    Args:
        tasks: labelled tasks with a column, or a family of them.
        by: the column whose groups are the domains.
        support: the number of domains from which an episode's support comes; its query comes from the others. None: half.
        renumber: whether the classes of an episode are numbered anew, as in few-shot learning. False: they keep their numbers and
            all of them are in every episode, as domain generalisation has it.

    Raises:
        ArgumentError: no such column; a number of domains that leaves none for the query; fewer ways than classes with
            renumber=False.
        TaskError: a class with too few examples in some choice of domains.
        UnsupportedError: tasks without labelled data.

    Examples:
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 6, [str(1990 + row // 30) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=3, queries=5, columns={"year": year})
        >>> qs.tasks.across(tasks, by="year").sample(4).query.x.shape
        torch.Size([4, 15, 2])
    """
    if isinstance(tasks, TaskFamily):
        options: dict[str, Any] = {"support": support, "renumber": renumber}
        parts = (across(tasks.parts[name], by, **options) if name in tasks.parts else None for name in SPLITS)
        family: TaskFamily[AcrossTasks] = TaskFamily(*parts, same_classes=tasks.same_classes, same_content=True)  # as before
        family.same_content = tasks.same_content
        return family
    column = column_of(tasks, by)
    other: AcrossTasks = copy(tasks)  # type: ignore[assignment]
    other.__class__ = AcrossTasks
    other.by, other.column, other.renumber = by, column, renumber
    other.support_domains = max(len(column.groups) // 2, 1) if support is None else support
    other.check_protocol()
    return other


@checked
def of_domains(tasks: LabelledTasks, by: str, names: Sequence[str]) -> LabelledTasks:
    """The examples of these domains alone; every class keeps its number.

    Raises:
        ArgumentError: no such column or domain.
        TaskError: a class without an example there, or fewer than the protocol needs.
    """
    column = column_of(tasks, by)
    for name in names:
        if name not in column.groups:
            raise ArgumentError(
                f"of_domains({by!r})", expected=f"domains of {by!r}", got=repr(name), do=nearest(name, column.groups)
            )
    wanted = torch.tensor([group in set(names) for group in column.groups])
    rows = wanted[column.of].nonzero().flatten()
    present = torch.bincount(tasks.y.cpu()[rows], minlength=len(tasks.counts))
    if len(absent := (present == 0).nonzero().flatten()):
        raise TaskError(
            f"of_domains({by!r})",
            expected="an example of every class in these domains",
            got=f"none of class {tasks.class_names[int(absent[0])]!r} in {', '.join(names)}",
            do="Leave out such classes first: tasks.only([...]).",
        )
    return tasks.of_rows(rows)


@checked
def domain_split(tasks: LabelledTasks, by: str, split: Mapping[str, Sequence[str]]) -> TaskFamily[LabelledTasks]:
    """A family whose parts have the same classes in other domains: to train in some, to choose in others, to test in new ones.

    Args:
        split: the domains of "train", "validation" and "test"; a part that is not named is left out.

    Raises:
        ArgumentError: no such column, part or domain.
        TaskError: a domain in two parts; a class without an example in a part.

    Examples:
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 6, [str(1990 + row // 30) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=3, queries=3, columns={"year": year})
        >>> family = qs.tasks.domain_split(tasks, "year", {"train": ["1990", "1991"], "test": ["1993"]})
        >>> len(family.train.y), len(family.test.y), family.same_classes
        (60, 30, True)
    """
    if unknown := [name for name in split if name not in SPLITS]:
        raise ArgumentError("split", expected=f"parts of {list(SPLITS)}", got=repr(unknown[0]), do=nearest(unknown[0], SPLITS))
    owner: dict[str, str] = {}
    for part, names in split.items():
        for name in names:
            if name in owner and owner[name] != part:
                raise TaskError(
                    "split",
                    expected="each domain in one part",
                    got=f"{name!r} in {owner[name]} and in {part}",
                    do="Name it once.",
                )
            owner[name] = part
    parts = [of_domains(tasks, by, list(split[name])) if name in split else None for name in SPLITS]
    for later in parts[1:]:
        if later is not None:
            later.transform, later.augment = (), ()
    return TaskFamily(*parts, same_classes=True)


def column_of(tasks: TaskDistribution, by: str, asked: str = "across") -> Column:
    """The column of labelled tasks, with the domains that have an example.

    Raises:
        UnsupportedError, ArgumentError: see `across`.
    """
    if not isinstance(tasks, LabelledTasks):
        raise UnsupportedError(
            asked,
            expected="tasks of labelled data, each example of which is of a domain",
            got=type(tasks).__name__,
            do="Take LabelledTasks with columns=, or a source with a column.",
        )
    if by not in tasks.columns:
        raise ArgumentError(
            "by",
            expected="one of the columns " + ", ".join(tasks.columns) if tasks.columns else "nothing: these data have no columns",
            got=repr(by),
            do=nearest(by, tasks.columns)
            if tasks.columns
            else "Name the domain of each example where the data are opened: columns={'year': [...]}.",
        )
    return tasks.columns[by].present()
