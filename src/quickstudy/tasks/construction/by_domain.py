"""Tasks of domain generalisation: every domain in every episode, and all classes under their own numbers.

    support  =  support of domain 1, of domain 2, ..., of domain D          `shots` of each class of each domain
    query    =  query of domain 1, of domain 2, ..., of domain D            `queries` likewise, other examples

What is learned on some domains is to serve others as it is, so an episode usually has no support: shots=0. A step is then one
batch of each domain, as in DomainBed; here it is balanced by class as well. `across` draws support and query of different
domains.

Source: Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021, appendix B, for one batch of each domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, overload

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode
from quickstudy.errors import TaskError
from quickstudy.targets.known_classes import KnownClasses
from quickstudy.tasks.construction.across import check_all_classes, column_of
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.columns import Column
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import largest


class DomainTasks(LabelledTasks):
    """Labelled tasks of every domain at once: see `by_domain`.

    Attributes:
        by: the column of the domains.

    Examples:
        >>> x, y, year = torch.randn(24, 2), torch.arange(24) % 2, [str(1990 + row // 8) for row in range(24)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, shots=0, queries=2, columns={"year": year})
        >>> own: qs.tasks.DomainTasks = qs.tasks.by_domain(tasks, "year")
        >>> own.domains, own.sample(4).query.x.shape
        (('1990', '1991', '1992'), torch.Size([4, 12, 2]))
    """

    renumber = False
    by: str
    column: Column  # the domain of each example
    cells: ClassIndex  # the rows of each class of each domain, domain by domain

    @property
    def domains(self) -> tuple[str, ...]:
        """The names of the domains, in the order in which an episode has them."""
        return self.column.groups

    @property
    def protocol(self) -> dict[str, Any]:
        """That of the tasks, where shots and queries are of each class of each domain; the column and its domains."""
        return {**super().protocol, "by_domain": self.by, "domains": list(self.domains)}

    def _drawn(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        classes, domains = torch.arange(ways).expand(n, ways), len(self.domains)
        cells = torch.arange(ways * domains).expand(n, -1)  # domain by domain, every class
        rows = self.cells.choose_rows(cells, shots + queries, generator).view(n * domains, ways, -1)
        support, query = (self._gathered(one, generator) for one in rows.split((shots, queries), dim=2))
        joined = lambda leaf: leaf.unflatten(0, (n, domains)).flatten(1, 2)  # noqa: E731
        support, query = support.map(joined), query.map(joined)
        return Episode(support, query, classes=KnownClasses(classes, self.class_names))

    def _said_within(self) -> str:
        return f", by_domain={self.by!r}"

    def _of(self, rows: Tensor, y: Tensor, names: Sequence[str]) -> LabelledTasks:
        """The rows with other labels, of the domains that are left."""
        kept = copy(self)
        kept.__class__ = LabelledTasks  # type: ignore[assignment]
        return by_domain(kept._of(rows, y, names), self.by)

    def check_protocol(self) -> None:
        """Raise TaskError unless every class has enough examples in every domain."""
        super().check_protocol()
        check_all_classes(self, "by_domain")
        each = largest(self.shots) + largest(self.queries)
        counts = self.column.counts(self.y.cpu(), len(self.counts))
        short = (counts < each).nonzero()
        if not len(short):
            return
        label, domain = short[0].tolist()
        classes = int((counts[:, domain] > 0).sum())
        raise TaskError(
            f"shots={self.shots}, queries={self.queries}, by {self.by!r}",
            expected=f"{each} examples of every class in every domain",
            got=f"{int(counts[label, domain])} of class {self.class_names[label]!r} in {self.domains[domain]!r}, "
            f"which has {classes} of the {len(self.counts)} classes",
            do="Lower `shots` and `queries`, or leave out that class or that domain (`only`, `of_domains`).",
        )


@overload
def by_domain(tasks: LabelledTasks, by: str) -> DomainTasks: ...
@overload
def by_domain(tasks: TaskFamily[Any], by: str) -> TaskFamily[DomainTasks]: ...


@checked
def by_domain(tasks: TaskDistribution | TaskFamily[Any], by: str) -> DomainTasks | TaskFamily[DomainTasks]:
    """The same tasks with every domain in every episode, domain after domain, and all classes under their own numbers.

    Args:
        tasks: labelled tasks of all their classes with a column, or a family of them; `shots` and `queries` become those of each
            class of each domain.
        by: the column whose groups are the domains.

    Raises:
        ArgumentError: no such column; fewer ways than classes; tasks within a group.
        TaskError: a class with too few examples in a domain.
        UnsupportedError: tasks without labelled data.

    Examples:
        >>> x, y, year = torch.randn(120, 2), torch.arange(120) % 6, [str(1990 + row // 30) for row in range(120)]
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=6, shots=0, queries=2, columns={"year": year})
        >>> episodes = qs.tasks.by_domain(tasks, "year").sample(3)  # 4 years x 6 classes x 2
        >>> episodes.support.x.shape, episodes.query.x.shape
        (torch.Size([3, 0, 2]), torch.Size([3, 48, 2]))
    """
    if isinstance(tasks, TaskFamily):
        parts = (by_domain(tasks.parts[name], by) if name in tasks.parts else None for name in SPLITS)
        return TaskFamily(*parts, same_classes=tasks.same_classes)
    column = column_of(tasks, by, "by_domain")
    other: DomainTasks = copy(tasks)  # type: ignore[assignment]
    other.__class__ = DomainTasks
    other.by, other.column = by, column
    other.check_protocol()
    other.cells = ClassIndex(column.of * len(other.counts) + other.y.cpu())
    return other
