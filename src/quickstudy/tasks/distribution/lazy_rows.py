"""Rows that are read when they are drawn: data larger than memory.

rows asked for  ->  those kept, and the others by `read`  ->  the least recently asked for are dropped
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from threading import Lock
from typing import Any, Self

import torch
from torch import Tensor

from quickstudy.errors import UnsupportedError


class LazyRows:
    """Rows (N, *feature) in place of a tensor. At most `memory` bytes of them are kept, and one row at least.

    A batch is held beside them while it is gathered. Several threads may gather at once; a copy for another process begins empty.

    Args:
        read: the row of a number, (*feature).
        of: (N,) the numbers of the rows.
        feature: the shape of one.
        dtype: of all.
        memory: bytes.
        names: what `read` reads, by number, such as the names of files: by these a run knows its tasks again.

    Examples:
        >>> from quickstudy.tasks.distribution.lazy_rows import LazyRows
        >>> rows = LazyRows(lambda n: torch.full((3,), float(n)), torch.arange(9), (3,), torch.float32, memory=48)
        >>> rows.gathered(torch.tensor([[2, 7]])).shape, rows.kept
        (torch.Size([1, 2, 3]), 2)
        >>> rows.gathered(torch.arange(9)).shape, rows.kept  # 48 bytes are 4 rows
        (torch.Size([9, 3]), 4)
    """

    def __init__(
        self,
        read: Callable[[int], Tensor],
        of: Tensor,
        feature: tuple[int, ...],
        dtype: torch.dtype,
        memory: int,
        names: Sequence[Any] = (),
    ):
        self.read, self.of, self.feature = read, of, torch.Size(feature)
        self.dtype, self.memory, self.names = dtype, memory, names
        self.device = torch.device("cpu")
        self._cache = _Cache(max(1, memory // self.row_bytes))

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.of), *self.feature))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return max(1, self.feature.numel() * self.dtype.itemsize)

    @property
    def kept(self) -> int:
        """How many rows are in memory."""
        return len(self._cache.rows)

    def __len__(self) -> int:
        return len(self.of)

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def gathered(self, rows: Tensor) -> Tensor:
        """These rows, of any shape, as a tensor (*rows, *feature). Each is read at most once."""
        numbers, place = torch.unique(self.of[rows.flatten().cpu()], return_inverse=True)
        values = torch.empty(len(numbers), *self.feature, dtype=self.dtype)
        for index, number in enumerate(numbers.tolist()):
            values[index] = self._cache.get(number, self.read)
        return values[place].view(*rows.shape, *self.feature).to(self.device)

    def subset(self, rows: Tensor) -> Self:
        """Only these rows, with the same memory."""
        other = copy(self)
        other.of = self.of[rows.cpu()]
        return other

    def whole(self) -> Tensor:
        """All rows as one tensor.

        Raises:
            UnsupportedError: they are larger than `memory`.
        """
        if len(self) * self.row_bytes > self.memory:
            raise UnsupportedError(
                "memory",
                expected=f"{len(self) * self.row_bytes} bytes, for what asks for all examples at once",
                got=str(self.memory),
                do="Raise `memory`, or leave it out where the data fit; what draws episodes needs no more.",
            )
        return self.gathered(torch.arange(len(self)))

    def some(self, most: int) -> Tensor:
        """At most this many of the rows, at equal distances."""
        return self.gathered(torch.linspace(0, len(self) - 1, min(most, len(self))).round().long())

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in their order, `size` at a time."""
        return (self.gathered(part) for part in torch.arange(len(self)).split(size))

    def to(self, device: str | torch.device) -> Self:
        """The same rows, gathered on `device`."""
        other = copy(self)
        other.device = torch.device(device)
        return other

    def content(self) -> tuple[Any, ...]:
        """What they are, for a fingerprint, which does not read them."""
        return list(self.shape), str(self.dtype), [self.names[number] for number in self.of.tolist()] if self.names else []


class _Cache:
    """The rows that were asked for last, by their numbers."""

    def __init__(self, most: int):
        self.most, self.rows, self.lock = most, OrderedDict[int, Tensor](), Lock()

    def get(self, number: int, read: Callable[[int], Tensor]) -> Tensor:
        with self.lock:
            if number in self.rows:
                self.rows.move_to_end(number)
                return self.rows[number]
        row = read(number)
        with self.lock:
            self.rows[number] = row
            while len(self.rows) > self.most:
                self.rows.popitem(last=False)
        return row

    def __reduce__(self) -> tuple[Any, ...]:
        return _Cache, (self.most,)
