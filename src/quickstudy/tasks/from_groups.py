"""from_groups: a table of rows as tasks, one for each group: a user, a patient, a machine.

task g:   rows of group g;     support  ~  `shots` of them,    query  ~  `queries` others
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, LabelError, ShapeError, TaskError
from quickstudy.tasks.class_index import ClassIndex
from quickstudy.tasks.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution import gathered
from quickstudy.tasks.family import TaskFamily
from quickstudy.tasks.from_arrays import as_names, as_tensor
from quickstudy.tasks.generator import fresh_generator
from quickstudy.tasks.interface import TaskDistribution, check_count
from quickstudy.tasks.labels import check_x
from quickstudy.tasks.size import Size, check_size, drawn, largest

Order = Literal["any", "time"]


class GroupTasks(TaskDistribution):
    """Tasks with targets, one for each group of rows.

    Args:
        x: (N, *feature).
        y: (N, *target), floats.
        group: (N,) integers 0..G-1.
        names: of the groups.
        shots, queries: rows of an episode, numbers or ranges.
        order: "any", rows at random; "time", a window of rows that follow one another, whose support precedes its query.

    Raises:
        TaskError: a group with fewer than shots + queries rows.
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
        order: Order = "any",
    ):
        self.x, self.y, self.index, self.class_names = x, y, ClassIndex(group), list(names)
        self.shots, self.queries, self.order = shots, queries, order
        self.check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes: x (tasks, shots or queries, *feature), y (tasks, shots or queries, *target)."""
        check_count(n)
        generator = generator or fresh_generator()
        shots, queries = drawn(self.shots, generator), drawn(self.queries, generator)
        groups = torch.randint(len(self.class_names), (n, 1), generator=generator)
        if self.order == "time":
            first = (torch.rand(n, 1, generator=generator) * (self.index.counts[groups] - shots - queries + 1)).long()
            rows = self.index.rows[self.index.starts[groups] + first + torch.arange(shots + queries)]
        else:
            rows = self.index.choose_rows(groups, shots + queries, generator)[:, 0]
        support, query = rows.split((shots, queries), dim=1)
        return Episode(*(Examples(gathered(self.x, part), gathered(self.y, part)) for part in (support, query)))

    def examples(self) -> Examples:
        """All rows of all groups."""
        return Examples(self.x, self.y)

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

    def __repr__(self) -> str:
        rows = f"{len(self.class_names)} groups, {len(self.y)} rows of shape {tuple(self.x.shape[1:])}"
        return f"{type(self).__name__}({rows}, shots={self.shots}, queries={self.queries}, order={self.order!r})"


def from_groups(
    x: Any,
    y: Any,
    group: Any,
    *,
    shots: Size = 5,
    queries: Size = 10,
    split: Split = FRACTIONS,
    seed: int = 0,
    order: Order = "any",
    time: Any = None,
) -> TaskFamily[GroupTasks]:
    """Tasks from rows that belong to groups.

    Args:
        x: (N, *feature) or (N,), NumPy or tensor.
        y: (N, *target) or (N,), numbers.
        group: (N,), which user, patient or machine each row is of; of any kind.
        shots, queries: rows of a task, to learn from and to predict; numbers or ranges.
        split: of the groups, as `from_arrays` splits classes: no group is in two parts.
        seed: of a split by fractions.
        order: "time": the rows of a group stand in time, and a task's support precedes its query.
        time: (N,) numbers to order rows by; None: they stand in order.

    Raises:
        ShapeError: x, y, group or time of different length.
        TaskError: a group with too few rows; fewer than three groups.
        LabelError: text where numbers are asked.
        NotFiniteError: NaN or infinity in x or y.
    """
    x, y, owner = as_tensor(x), as_tensor(y), as_names(group)
    moments = None if time is None else as_tensor(time)
    lengths = {"x": len(x), "y": len(y), "group": len(owner)} | ({} if moments is None else {"time": len(moments)})
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} of {length}" for name, length in lengths.items())
        raise ShapeError("x, y, group", expected="one of each for every row", got=got, do="Give one group for every row.")
    if order not in ("any", "time"):
        raise ArgumentError("order", expected="'any' or 'time'", got=repr(order), do="'time' lets the support precede the query.")
    if not y.is_floating_point():
        if y.dtype == torch.uint8:
            raise LabelError("y", expected="numbers to predict", got="bytes", do="Convert them: y.astype(float).")
        y = y.to(torch.float32)
    x, y = (part[:, None] if part.ndim == 1 else part for part in (x, y))
    check_x(x)
    check_x(y)
    if moments is not None:
        rows = moments.argsort(stable=True)
        x, y, owner = x[rows], y[rows], [owner[row] for row in rows.tolist()]
    names = sorted(dict.fromkeys(owner))
    if len(names) < 3:
        raise TaskError(
            "group", expected="three groups or more", got=str(len(names)), do="Some train, some validate, some test: bring more."
        )
    parts = split_classes(names, split, seed)

    def tasks(part: str) -> GroupTasks:
        place = {name: number for number, name in enumerate(parts[part])}
        chosen = torch.tensor([row for row, name in enumerate(owner) if name in place])
        own = torch.tensor([place[owner[row]] for row in chosen.tolist()])
        return GroupTasks(x[chosen], y[chosen], own, parts[part], shots=shots, queries=queries, order=order)

    return TaskFamily(tasks("train"), tasks("validation"), tasks("test"))
