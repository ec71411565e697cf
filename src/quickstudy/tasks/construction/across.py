"""Episodes across domains: the support comes from some domains, the query from others with the same classes.

    S        ~  uniform, `support` of the D domains, for each episode; or those that are named
    Q        ~  the other domains, or uniform, `query` of them
    support  ~  uniform, `shots` of each class without replacement, among its examples in S
    query    ~  uniform, `queries` of each class without replacement, among its examples in Q, whose group of `apart` is not in
                the support

A domain is a group of a column: the drawer, the imaging device, the speaker, the year, the language. What a learner learns there
must carry over from one to another. The contrary is `within=`, where all classes of an episode are of one group.

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
    support_domains: int | list[str]
    query_domains: int | None = None  # attributes of the object only if they are given: the fingerprint reads those
    apart: str | None = None

    @property
    def protocol(self) -> dict[str, Any]:
        """That of the tasks, the column, and which or how many of its domains an episode's support is of."""
        found = {**super().protocol, "across": self.by, "support_domains": self.support_domains, "renumber": self.renumber}
        given = {"query_domains": self.query_domains, "apart": self.apart}
        return found | {name: value for name, value in given.items() if value is not None}

    def _drawn(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        classes = self._classes(n, ways, generator)
        inside, outside = self._domains(n, generator)
        support = rows_of(self, self.column, classes, shots, inside, generator)
        seen = None if self.apart is None else _groups_of(self.columns[self.apart], support)
        query = rows_of(self, self.column, classes, queries, outside, generator, seen)
        known = KnownClasses(classes, self.class_names)
        return Episode(self._gathered(support, generator), self._gathered(query, generator), classes=known)

    def _domains(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which domains the support of each task is of, and which its query: (tasks, D) each."""
        every = len(self.column.groups)
        if isinstance(self.support_domains, int):
            inside = _marked(choose(torch.rand(n, every, generator=generator), self.support_domains), every)
        else:
            inside = torch.tensor([group in self.support_domains for group in self.column.groups]).expand(n, every)
        if self.query_domains is None:
            return inside, ~inside
        key = torch.rand(n, every, generator=generator).masked_fill(inside, -1.0)
        return inside, _marked(choose(key, self.query_domains), every)

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
        return across(kept._of(rows, y, names), self.by, **self._options())

    def _options(self) -> dict[str, Any]:
        """Those of `across` that made these tasks."""
        own = {"support": self.support_domains, "query": self.query_domains, "apart": self.apart}
        return {**own, "renumber": self.renumber}

    def check_protocol(self) -> None:
        """Raise TaskError unless every class has enough examples whichever domains are drawn for the support."""
        super().check_protocol()
        column = self.column
        every, named = len(column.groups), not isinstance(self.support_domains, int)
        inside = len(self.support_domains) if isinstance(self.support_domains, list) else self.support_domains
        if not 1 <= inside < every:
            raise ArgumentError(
                "across(support=)",
                expected=f"1 to {every - 1} of the {every} domains of {self.by!r}, so that others are left for the query",
                got=str(inside),
                do="Leave it out: half of them.",
            )
        outside = every - inside if self.query_domains is None else self.query_domains
        if outside > every - inside:
            raise ArgumentError(
                "across(query=)",
                expected=f"at most the {every - inside} domains of {self.by!r} that are not of the support",
                got=str(outside),
                do="Leave it out: all of them.",
            )
        if not self.renumber:
            check_all_classes(self, "renumber=False")
        counts = column.counts(self.y.cpu(), len(self.counts))
        there = torch.tensor([named and group in self.support_domains for group in column.groups])  # type: ignore[operator]
        fixed = counts[:, there] if named else counts
        self._check_enough("shots", fixed, inside, largest(self.shots), 0)
        taken = 0 if self.apart is None else largest(self.shots) * outside * self._most_apart()
        self._check_enough("queries", counts[:, ~there], outside, largest(self.queries), taken)

    def _most_apart(self) -> int:
        """How many examples of one class and domain a support example can take from the query, by its group of `apart`."""
        assert self.apart is not None
        apart, y = self.columns[self.apart], self.y.cpu()
        place = (y * len(apart.groups) + apart.of) * len(self.column.groups) + self.column.of
        most = int(place.unique(return_counts=True)[1].max())
        classes = torch.stack([apart.of, y], 1).unique(dim=0)[:, 0].bincount()  # of each group
        return most * min(int(classes.max()), largest(self.ways))

    def _check_enough(self, name: str, counts: Tensor, domains: int, each: int, taken: int) -> None:
        """Raise TaskError for a class with fewer than `each` examples in some choice of domains, without those that are taken."""
        fewest = counts.sort(1).values[:, :domains].sum(1) - taken
        short = (fewest < each).nonzero().flatten()
        if len(short):
            raise self._too_few(name, domains, each, int(short[0]), int(fewest[short[0]]))

    def _too_few(self, name: str, domains: int, each: int, label: int, least: int) -> TaskError:
        have = self.column.counts(self.y.cpu(), len(self.counts))[label].tolist()
        held = [group for group, count in zip(self.column.groups, have, strict=True) if count]
        where = f"in {held[0]!r} alone" if len(held) == 1 else f"in {len(held)} of the {len(have)} domains of {self.by!r}"
        beside = f", whose {self.apart!r} is not in the support" if self.apart and name == "queries" else ""
        return TaskError(
            f"{name}={each}, across {self.by!r}",
            expected=f"{each} examples of every class in any {domains} of the domains{beside}",
            got=f"{max(least, 0)} of class {self.class_names[label]!r}, which is {where}",
            do=f"Lower `{name}`, change `support`, or leave out classes and domains that have too few (`only`, `of_domains`).",
        )


Seen = tuple[Column, Tensor]  # a column, and which of its groups are in the support of each task, (tasks, groups)


def _groups_of(column: Column, rows: Tensor) -> Seen:
    """The groups of the rows of each task."""
    return column, _marked(column.of[rows].flatten(1), len(column.groups))


def _marked(places: Tensor, every: int) -> Tensor:
    """(tasks, every): True at the places (tasks, k)."""
    return torch.zeros(len(places), every, dtype=torch.bool).scatter_(1, places, True)


def rows_of(
    tasks: LabelledTasks,
    column: Column,
    classes: Tensor,
    each: int,
    domains: Tensor,
    generator: torch.Generator,
    without: Seen | None = None,
) -> Tensor:
    """`each` rows of every class of (tasks, ways), of the domains (tasks, D) that are True: (tasks, ways, each).

    Args:
        without: groups of another column from which no row is taken.
    """
    index = tasks.index
    starts, counts = index.starts[classes][..., None], index.counts[classes][..., None]
    places = torch.arange(int(counts.max()))
    rows = index.rows[starts + places.minimum(counts - 1)]  # (tasks, ways, most)
    task = torch.arange(len(classes))[:, None, None]
    there = domains[task, column.of[rows]] & (places < counts)
    if without is not None:
        there &= ~without[1][task, without[0].of[rows]]
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


Domains = PositiveInt | Sequence[str]


@overload
def across(
    tasks: LabelledTasks,
    by: str,
    *,
    support: Domains | None = None,
    query: PositiveInt | None = None,
    apart: str | None = None,
    renumber: bool = True,
) -> AcrossTasks: ...
@overload
def across(
    tasks: TaskFamily[Any],
    by: str,
    *,
    support: Domains | None = None,
    query: PositiveInt | None = None,
    apart: str | None = None,
    renumber: bool = True,
) -> TaskFamily[AcrossTasks]: ...


@checked
def across(
    tasks: TaskDistribution | TaskFamily[Any],
    by: str,
    *,
    support: Domains | None = None,
    query: PositiveInt | None = None,
    apart: str | None = None,
    renumber: bool = True,
) -> AcrossTasks | TaskFamily[AcrossTasks]:
    """The same tasks with support and query from different domains.

    Args:
        tasks: labelled tasks with a column, or a family of them.
        by: the column whose groups are the domains.
        support: the domains from which an episode's support comes: their number, or their names, such as ["en"]; its query comes
            from the others. None: half.
        query: the number of domains from which an episode's query comes, drawn for each; None: all that are not of the support.
        apart: a column no group of which is in support and query, such as the sentence that an example is a translation of. None:
            support and query are apart by domain alone.
        renumber: whether the classes of an episode are numbered anew, as in few-shot learning. False: they keep their numbers and
            all of them are in every episode, as domain generalisation has it.

    Raises:
        ArgumentError: no such column or domain; a number of domains that leaves none for the query; more for the query than there
            are; fewer ways than classes with renumber=False.
        TaskError: a class with too few examples in some choice of domains.
        UnsupportedError: tasks without labelled data.

    Examples:
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 6, [str(1990 + row // 30) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=3, queries=5, columns={"year": year})
        >>> qs.tasks.across(tasks, by="year").sample(4).query.x.shape
        torch.Size([4, 15, 2])
        >>> qs.tasks.across(tasks, by="year", support=["1990"], query=1).sample(4).support.x.shape
        torch.Size([4, 3, 2])
    """
    if isinstance(tasks, TaskFamily):
        options: dict[str, Any] = {"support": support, "query": query, "apart": apart, "renumber": renumber}
        parts = (across(tasks.parts[name], by, **options) if name in tasks.parts else None for name in SPLITS)
        family: TaskFamily[AcrossTasks] = TaskFamily(*parts, same_classes=tasks.same_classes, same_content=True)  # as before
        family.same_content = tasks.same_content
        return family
    column = column_of(tasks, by)
    other: AcrossTasks = copy(tasks)  # type: ignore[assignment]
    other.__class__ = AcrossTasks
    other.by, other.column, other.renumber = by, column, renumber
    if support is None or isinstance(support, int):
        other.support_domains = max(len(column.groups) // 2, 1) if support is None else support
    else:
        check_domains("across(support=)", by, column, support)
        other.support_domains = list(support)
    other.__dict__.update({} if query is None else {"query_domains": query})
    if apart is not None:
        column_of(tasks, apart, argument="apart")
        other.apart = apart
    other.check_protocol()
    return other


def check_domains(argument: str, by: str, column: Column, names: Sequence[str]) -> None:
    """Raise ArgumentError for a name that is no domain, or one string in place of names."""
    if isinstance(names, str):
        raise ArgumentError(argument, expected="a list of names", got=repr(names), do=f"Give [{names!r}].")
    for name in names:
        if name not in column.groups:
            do = nearest(name, column.groups)
            raise ArgumentError(argument, expected=f"domains of {by!r}", got=repr(name), do=do)


@checked
def of_domains(tasks: LabelledTasks, by: str, names: Sequence[str]) -> LabelledTasks:
    """The examples of these domains alone; every class keeps its number.

    Raises:
        ArgumentError: no such column or domain.
        TaskError: a class without an example there, or fewer than the protocol needs.
    """
    column = column_of(tasks, by)
    check_domains(f"of_domains({by!r})", by, column, names)
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


def column_of(tasks: TaskDistribution, by: str, asked: str = "across", argument: str = "by") -> Column:
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
            argument,
            expected="one of the columns " + ", ".join(tasks.columns) if tasks.columns else "nothing: these data have no columns",
            got=repr(by),
            do=nearest(by, tasks.columns)
            if tasks.columns
            else "Name the domain of each example where the data are opened: columns={'year': [...]}.",
        )
    return tasks.columns[by].present()
