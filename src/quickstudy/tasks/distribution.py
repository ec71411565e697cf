"""Distributions of tasks: N-way K-shot episodes from labelled data held in memory.

    classes  ~  uniform, `ways` of C without replacement
    examples ~  uniform, `shots` + `queries` of each class without replacement; the first are support, the others query

A sample is a batch of n episodes with a leading axis `tasks`, drawn without a Python loop over tasks. Indices come from the
CPU generator whatever the data's device, so one seed gives the same episodes everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError, TaskError

Size = int | tuple[int, int]  # a number, or an inclusive range from which one is drawn for each batch


class TaskDistribution(ABC):
    """The interface of p(tasks)."""

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes, with a leading axis `tasks`."""

    @abstractmethod
    def examples(self) -> Examples:
        """All data of the distribution pooled, for pre-training and joint training."""

    @abstractmethod
    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> TaskDistribution:
        """The same distribution under another protocol."""

    @abstractmethod
    def to(self, device: str | torch.device) -> TaskDistribution:
        """The same distribution with its data on `device`."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """ways, shots and queries."""


T = TypeVar("T", bound=TaskDistribution)


class TaskFamily(Generic[T]):
    """Three task distributions of one family: `train`, `validation` and `test`, which share no class."""

    def __init__(self, train: T, validation: T, test: T):
        self.train, self.validation, self.test = train, validation, test
        check_splits({"train": train, "validation": validation, "test": test})

    def with_(self, **protocol: Any) -> TaskFamily[Any]:
        """All three under another protocol."""
        return TaskFamily(*(part.with_(**protocol) for part in (self.train, self.validation, self.test)))

    def to(self, device: str | torch.device) -> TaskFamily[Any]:
        """All three with their data on `device`."""
        return TaskFamily(*(part.to(device) for part in (self.train, self.validation, self.test)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n  train={self.train},\n  validation={self.validation},\n  test={self.test})"


class LabelledTasks(TaskDistribution):
    """Episodes over labelled data.

    Args:
        x: (N, *feature); uint8 images stay uint8 in memory and become float32 in [0, 1] as episodes are gathered.
        y: (N,) global labels 0..C-1, each at least once.
        ways, shots, queries: classes, support and query examples of each class: ints, or inclusive ranges (low, high) from
            which one value is drawn for each call of `sample`, so that a batch is never ragged.
        class_names: C names; the labels themselves where not given.

    Raises:
        ShapeError: x and y of different length.
        LabelError: labels that are no integers, or that skip a number.
        TaskError: more ways than classes; a class with too few examples.
        NotFiniteError: NaN or infinity in x.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 15,
        class_names: Sequence[str] | None = None,
    ):
        _check_data(x, y)
        self.x, self.y = x, y
        order = torch.argsort(y.cpu(), stable=True)
        self.counts = torch.bincount(y.cpu())
        self.class_names = [str(label) for label in range(len(self.counts))] if class_names is None else list(class_names)
        starts = torch.cumsum(self.counts, 0) - self.counts
        rank = torch.arange(len(order)) - starts.repeat_interleave(self.counts)
        self._index = torch.zeros(len(self.counts), int(self.counts.max()), dtype=torch.int64)  # (C, most): rows of x by class
        self._index[y.cpu()[order], rank] = order
        self.ways, self.shots, self.queries = ways, shots, queries
        self._check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes (tasks, examples, *feature), labels 0..ways-1 in shuffled order, support and query disjoint.

        Raises:
            ArgumentError: n below 1.
        """
        if n < 1:
            raise ArgumentError("sample(n)", expected="1 episode or more", got=str(n), do="Ask for at least one.")
        generator = generator or fresh_generator()
        ways, shots, queries = (drawn(size, generator) for size in (self.ways, self.shots, self.queries))
        classes = _choose(torch.rand(n, len(self.counts), generator=generator), ways)  # (tasks, ways)
        chance = torch.rand(n, ways, self._index.shape[1], generator=generator)
        chance = chance.masked_fill(torch.arange(self._index.shape[1]) >= self.counts[classes][..., None], -1.0)
        rows = self._index[classes].gather(2, _choose(chance, shots + queries))  # (tasks, ways, shots + queries)
        support = self._examples(rows[..., :shots], ways, generator)
        return Episode(support, self._examples(rows[..., shots:], ways, generator))

    def examples(self) -> Examples:
        """All data with global labels 0..C-1; `class_names` has their names."""
        return Examples(as_float(self.x), self.y, ways=len(self.counts))

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> LabelledTasks:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
            if value is not None:
                setattr(other, name, value)
        other._check_protocol()
        return other

    def to(self, device: str | torch.device) -> LabelledTasks:
        other = self.with_()
        other.x, other.y = self.x.to(device), self.y.to(device)
        return other

    @property
    def protocol(self) -> dict[str, Any]:
        return {"ways": self.ways, "shots": self.shots, "queries": self.queries}

    def __repr__(self) -> str:
        feature = tuple(self.x.shape[1:])
        return (
            f"{type(self).__name__}({len(self.counts)} classes, {len(self.y)} examples of shape {feature}, "
            f"ways={self.ways}, shots={self.shots}, queries={self.queries})"
        )

    def _examples(self, rows: Tensor, ways: int, generator: torch.Generator) -> Examples:
        """The rows (tasks, ways, each) as examples in shuffled order."""
        n, _, each = rows.shape
        labels = torch.arange(ways)[:, None].expand(ways, each).reshape(1, -1).expand(n, -1)
        order = torch.rand(n, ways * each, generator=generator).argsort(1)
        rows, labels = rows.reshape(n, -1).gather(1, order), labels.gather(1, order)
        return Examples(as_float(self.x[rows.to(self.x.device)]), labels.to(self.x.device), ways=ways)

    def _check_protocol(self) -> None:
        most_ways, each = _most(self.ways), _most(self.shots) + _most(self.queries)
        _check_size("ways", self.ways, 1)
        _check_size("shots", self.shots, 0)
        _check_size("queries", self.queries, 1)
        if most_ways > len(self.counts):
            raise TaskError(
                f"ways={self.ways}",
                expected=f"at most the {len(self.counts)} classes there are",
                got=str(most_ways),
                do="Lower `ways`, or bring more classes.",
            )
        short = int(self.counts.argmin())
        if self.counts[short] < each:
            raise TaskError(
                f"shots={self.shots}, queries={self.queries}",
                expected=f"at least {each} examples of every class",
                got=f"{int(self.counts[short])} of class {self.class_names[short]!r}",
                do="Lower `shots` or `queries`, or leave that class out.",
            )


def as_float(x: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; everything else as it is."""
    return x.to(torch.float32).div_(255) if x.dtype == torch.uint8 else x


def check_splits(splits: dict[str, TaskDistribution]) -> None:
    """Raise TaskError where a class name stands in two splits."""
    seen: dict[str, str] = {}
    for split, distribution in splits.items():
        for name in getattr(distribution, "class_names", ()):
            if seen.setdefault(name, split) != split:
                raise TaskError(
                    f"{seen[name]}, {split}",
                    expected="splits that share no class",
                    got=f"class {name!r} in both",
                    do="Give every class to one split: a class seen in meta-training makes the test score a leak.",
                )


def _choose(chance: Tensor, k: int) -> Tensor:
    """The indices of the k largest along the last axis: a uniform choice without replacement, in random order."""
    return chance.topk(k, dim=-1).indices


def drawn(size: Size, generator: torch.Generator) -> int:
    """The size itself, or one drawn from its range."""
    if isinstance(size, int):
        return size
    low, high = size
    return int(torch.randint(low, high + 1, (), generator=generator))


def _most(size: Size) -> int:
    return size if isinstance(size, int) else size[1]


def _check_size(name: str, size: Size, least: int) -> None:
    low, high = (size, size) if isinstance(size, int) else size
    if low < least or high < low:
        raise ArgumentError(
            name, expected=f"an int of {least} or more, or a range (low, high)", got=repr(size), do=f"Give {name}={max(least, 1)}."
        )


def fresh_generator() -> torch.Generator:
    """A generator seeded from the system, for callers that give none."""
    generator = torch.Generator()
    generator.seed()
    return generator


def _check_data(x: Tensor, y: Tensor) -> None:
    if x.shape[:1] != y.shape[:1] or y.ndim != 1:
        raise ShapeError(
            "x, y",
            expected="x (N, *feature) and y (N,)",
            got=f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}",
            do="Give one label for every example.",
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise LabelError("y", expected="integer labels", got=str(y.dtype), do="Number the classes from 0 and pass y.long().")
    present = torch.unique(y).tolist()
    if present != list(range(len(present))):
        missing = sorted(set(range(int(max(present, default=0)) + 1)) - set(present))[:5]
        raise LabelError(
            "y",
            expected=f"the labels 0..{len(present) - 1} without a gap",
            got=f"labels from {min(present)} to {max(present)}, where {missing} are missing",
            do="Number them with torch.unique(y, return_inverse=True)[1].",
        )
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        row = int((~torch.isfinite(x.flatten(1)).all(1)).nonzero()[0])
        raise NotFiniteError("x", expected="finite numbers", got=f"NaN or infinity, first in row {row}", do="Remove or fill them.")
