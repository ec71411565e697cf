"""Tally: sums of rows of whole numbers by key, whose memory grows with the number of different keys only."""

from __future__ import annotations

import torch
from torch import Tensor

WAITING = 1 << 16  # rows that wait, at least, before they are summed


class Tally:
    """Sums by key. Rows wait until they are as many as the keys, so that n of them cost n log n, however they come.

    Args:
        columns: of a row.

    Examples:
        >>> from quickstudy.evaluation.tally import Tally
        >>> tally = Tally(1)
        >>> tally.add(torch.tensor([7, 3, 7]), torch.tensor([[1], [2], [10]]))
        >>> tally.sums()
        (tensor([3, 7]), tensor([[ 2], [11]]))
    """

    def __init__(self, columns: int):
        self._keys, self._sums = torch.empty(0, dtype=torch.int64), torch.empty(0, columns, dtype=torch.int64)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._rows = 0

    def add(self, keys: Tensor, rows: Tensor) -> None:
        """Add rows (n, columns) int64 with keys (n,) int64."""
        self._waiting.append((keys, rows))
        self._rows += len(keys)
        if self._rows > max(len(self._keys), WAITING):
            self.sums()

    def sums(self) -> tuple[Tensor, Tensor]:
        """The keys (k,), sorted, and the sum of the rows of each, (k, columns)."""
        if self._waiting:
            keys, rows = (torch.cat(parts) for parts in zip((self._keys, self._sums), *self._waiting, strict=True))
            self._keys, place = torch.unique(keys, return_inverse=True)
            self._sums = rows.new_zeros(len(self._keys), rows.shape[1]).index_add_(0, place, rows)
            self._waiting, self._rows = [], 0
        return self._keys, self._sums
