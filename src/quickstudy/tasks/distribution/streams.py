"""Streams: the batches of long training runs, for learners whose phi acts on a whole training run.

train         support (tasks, window, batch, *feature)      the batches of the next `window` inner steps
              query   (tasks, window, outer_batch, *feature)  held-out batches, one after each step
validation    ordinary episodes: train on `shots` examples, be scored on `queries` held-out ones
test          likewise, on examples that nothing else has seen
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, TaskError
from quickstudy.targets import Labels
from quickstudy.tasks.distribution.family import TaskFamily, check_columns
from quickstudy.tasks.distribution.generator import fresh_generator
from quickstudy.tasks.distribution.interface import TaskDistribution, check_count
from quickstudy.tasks.distribution.size import Size, drawn

Variant = Callable[[Examples, torch.Generator], Examples]
KEPT = 64  # variants kept in memory


class _Pools(TaskDistribution):
    """Two pools of examples: one to train a student on, one to score it on. A run's number selects the variant that it sees."""

    def __init__(self, inner: Examples, outer: Examples, variant: Variant | None):
        self.inner, self.outer, self.variant = inner, outer, variant
        self.ways = inner.ways
        self._variants: dict[int, tuple[Examples, Examples]] = {}

    def pools(self, run: int) -> tuple[Examples, Examples]:
        """The pools of the run with this number: always the same ones."""
        if self.variant is None:
            return self.inner, self.outer
        if run not in self._variants:
            generators = (torch.Generator().manual_seed(run) for _ in range(2))  # the same change of both
            pair = [self.variant(pool, generator) for pool, generator in zip((self.inner, self.outer), generators, strict=True)]
            if len(self._variants) >= KEPT:
                self._variants.pop(next(iter(self._variants)))
            self._variants[run] = pair[0], pair[1]
        return self._variants[run]

    def examples(self) -> Examples:
        return self.inner

    def to(self, device: str | torch.device) -> Self:
        other = copy(self)
        other.inner, other.outer, other._variants = self.inner.map(_on(device)), self.outer.map(_on(device)), {}
        return other


class StreamTasks(_Pools):
    """The windows of runs: see `Streams`. `window` is the number of inner steps in one outer step."""

    def __init__(
        self, inner: Examples, outer: Examples, *, batch: int, outer_batch: PositiveInt, window: int, variant: Variant | None
    ):
        super().__init__(inner, outer, variant)
        self.batch, self.outer_batch, self.window = batch, outer_batch, window
        self.shots, self.queries = batch, outer_batch
        self.check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None, runs: Tensor | None = None) -> Episode:
        """The next window of n runs, batches drawn uniformly. `runs` (n,) are their numbers, which select the variants."""
        check_count(n)
        generator = generator or fresh_generator()
        if runs is None:
            runs = torch.randint(2**31, (n,), generator=generator)
        parts = []
        for which, size in ((0, self.batch), (1, self.outer_batch)):
            pools = [self.pools(int(run))[which] for run in runs]
            rows = torch.randint(len(pools[0]), (n, self.window * size), generator=generator)
            if self.variant is None:
                flat = pools[0].map(lambda leaf: leaf[rows.reshape(-1).to(leaf.device)])  # noqa: B023
            else:
                chosen = [pool.map(lambda leaf: leaf[row.to(leaf.device)]) for pool, row in zip(pools, rows, strict=True)]  # noqa: B023
                flat = pytree.tree_map(lambda *leaves: torch.cat(leaves), *chosen)
            parts.append(flat)
        return Episode(*parts).map(lambda leaf: leaf.unflatten(0, (n, self.window, -1)))

    def with_(
        self,
        *,
        ways: Size | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        window: int | None = None,
    ) -> Self:
        """The same stream in other windows, or other batches (`shots`, `queries`)."""
        if ways is not None and ways != self.ways:
            raise ArgumentError("ways", expected=f"the data's own {self.ways}", got=repr(ways), do="Leave `ways` out.")
        other = copy(self)
        other.batch = self.batch if shots is None else _fixed("shots", shots)
        other.outer_batch = self.outer_batch if queries is None else _fixed("queries", queries)
        other.window = self.window if window is None else window
        other.shots, other.queries = other.batch, other.outer_batch
        other.check_protocol()
        return other

    def check_protocol(self) -> None:
        for name in ("batch", "outer_batch", "window"):
            if getattr(self, name) < 1:
                raise ArgumentError(
                    name, expected="1 or more", got=str(getattr(self, name)), do="Give a number of examples or steps."
                )

    @property
    def protocol(self) -> dict[str, Any]:
        return {**super().protocol, "window": self.window}

    def __repr__(self) -> str:
        return (
            f"StreamTasks({len(self.inner)} examples, batch={self.batch}, window={self.window}, outer_batch={self.outer_batch})"
        )


class RunTasks(_Pools):
    """Ordinary episodes of the same data: support (tasks, shots, *feature), query (tasks, queries, *feature)."""

    def __init__(self, inner: Examples, outer: Examples, *, shots: Size, queries: Size, variant: Variant | None):
        super().__init__(inner, outer, variant)
        self.shots, self.queries = shots, queries
        self.check_protocol()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        check_count(n)
        generator = generator or fresh_generator()
        shots, queries = drawn(self.shots, generator), drawn(self.queries, generator)
        episodes = []
        for run in torch.randint(2**31, (n,), generator=generator).tolist():
            parts = []
            for pool, size in zip(self.pools(run), (shots, queries), strict=True):
                rows = torch.randperm(len(pool), generator=generator)[:size]
                parts.append(pool.map(lambda leaf: leaf[rows.to(leaf.device)]))  # noqa: B023
            episodes.append(Episode(*parts))
        return pytree.tree_map(lambda *leaves: torch.stack(leaves), *episodes)

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> Self:
        if ways is not None and ways != self.ways:
            raise ArgumentError("ways", expected=f"the data's own {self.ways}", got=repr(ways), do="Leave `ways` out.")
        return super().with_(shots=shots, queries=queries)

    def check_protocol(self) -> None:
        for name, size, pool in (("shots", self.shots, self.inner), ("queries", self.queries, self.outer)):
            least, most = size if isinstance(size, tuple) else (size, size)
            if not 1 <= least <= most <= len(pool):
                raise TaskError(
                    name,
                    expected=f"1 to {len(pool)} examples, as many as there are",
                    got=repr(size),
                    do="Ask for fewer, or give more data.",
                )

    def __repr__(self) -> str:
        return f"RunTasks({len(self.inner)} and {len(self.outer)} examples, shots={self.shots}, queries={self.queries})"


@checked
class Streams(TaskFamily[Any]):
    """The stream of batches of one data set, for learners that act on a whole training run.

    Args:
        x: (examples, *feature), or a pytree of such tensors.
        y: labels (examples,), or targets (examples, *target).
        batch: examples of an inner step.
        window: inner steps in one outer step, after which the derivative is cut.

    Other Args:
        outer_batch: examples of an outer loss; None: as many as `batch`.
        validation, test: fractions of the data to hold out. Half of the validation fraction gives the outer losses of
            meta-training; the other half scores the learner in `tasks.validation`.
        outer: Examples to take the outer losses from instead (a small clean set, say).
        shots, queries: of the ordinary episodes of validation and test; None: all available, at most 1000 each.
        variant: a function of (Examples, generator) that makes another task of the data for each run: labels permuted, noise
            added. It must leave the number of examples as it is. None: every run sees the same data.
        seed: of the split.

    Raises:
        TaskError: too few examples; fractions that leave a part empty.
        ArgumentError: a size below 1.

    Examples:
        >>> tasks = qs.tasks.Streams(torch.randn(400, 4), torch.arange(400) % 3, batch=16, window=5, queries=20)
        >>> windows = tasks.train.sample(2)  # the next 5 batches of 2 runs
        >>> windows.support.x.shape
        torch.Size([2, 5, 16, 4])
        >>> tasks.test.sample(2).query.x.shape
        torch.Size([2, 20, 4])
    """

    def __init__(
        self,
        x: Any,
        y: Tensor,
        *,
        batch: int = 32,
        window: int = 20,
        outer_batch: PositiveInt | None = None,
        validation: float = 0.25,
        test: float = 0.25,
        outer: Examples | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        variant: Variant | None = None,
        seed: int = 0,
    ):
        data = Examples(x, y)
        sizes = [int(len(data) * share) for share in (validation / 2, validation / 2, test)]
        kept = len(data) - sum(sizes)
        if min(*sizes, kept) < 1:
            raise TaskError(
                "validation, test",
                expected="shares that leave examples for training, for outer losses, for validation and for test",
                got=f"{len(data)} examples of which {[kept, *sizes]} would go to them",
                do="Give more data, or other shares.",
            )
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        inner, meta, score, last = (data.map(lambda leaf: leaf[rows.to(leaf.device)]) for rows in order.split([kept, *sizes]))  # noqa: B023
        stream = StreamTasks(
            inner, meta if outer is None else outer, batch=batch, outer_batch=outer_batch or batch, window=window, variant=variant
        )
        episodic = [
            RunTasks(
                inner,
                pool,
                shots=min(len(inner), 1000) if shots is None else shots,
                queries=min(len(pool), 1000) if queries is None else queries,
                variant=variant,
            )
            for pool in (score, last)
        ]
        self.window = window
        super().__init__(stream, *episodic)

    @property
    def labelled(self) -> bool:
        """Whether the data have class labels."""
        return isinstance(self.train.inner.target, Labels)

    def with_(
        self,
        *,
        ways: Size | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        within: str | Literal[False] | None = None,
    ) -> Self:
        """The same data with these `shots` and `queries` in validation and test; the stream stays."""
        if within is not None:
            check_columns(within, [self.validation])
        other = copy(self)
        other.validation, other.test = (
            part.with_(ways=ways, shots=shots, queries=queries) for part in (self.validation, self.test)
        )
        return other

    def to(self, device: str | torch.device) -> Self:
        other = copy(self)
        other.train, other.validation, other.test = (part.to(device) for part in (self.train, self.validation, self.test))
        return other


def _fixed(name: str, size: Size) -> int:
    if not isinstance(size, int):
        raise ArgumentError(name, expected="one number: the batches of a run have one size", got=repr(size), do="Give an int.")
    return size


def _on(device: str | torch.device) -> Callable[[Tensor], Tensor]:
    return lambda leaf: leaf.to(device)
