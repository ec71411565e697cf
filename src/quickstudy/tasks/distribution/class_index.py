"""Which rows of labelled data belong to which class, and a choice of rows without replacement."""

from __future__ import annotations

import torch
from torch import Tensor


class ClassIndex:
    """The rows of labels y (N,), sorted by class: class c has `counts[c]` rows, from index `starts[c]` on. On the CPU."""

    def __init__(self, y: Tensor):
        y = y.cpu()
        self.rows = torch.argsort(y, stable=True)
        self.counts = torch.bincount(y)
        self.starts = self.counts.cumsum(0) - self.counts

    def of_class(self, label: int) -> Tensor:
        """The rows of one class."""
        return self.rows[self.starts[label] : self.starts[label] + self.counts[label]]

    def choose_classes(self, n: int, ways: int, generator: torch.Generator) -> Tensor:
        """For each of n tasks `ways` different classes in random order: (tasks, ways)."""
        return choose(torch.rand(n, len(self.counts), generator=generator), ways)

    def choose_rows(self, classes: Tensor, each: int, generator: torch.Generator) -> Tensor:
        """`each` different rows of every class of (tasks, ways) in random order: (tasks, ways, each)."""
        counts = self.counts[classes][..., None]
        most = int(counts.max())
        key = torch.rand(*classes.shape, most, generator=generator)
        key.masked_fill_(torch.arange(most) >= counts, -1.0)  # a smaller class has no such row
        return self.rows[self.starts[classes][..., None] + choose(key, each)]


def choose(key: Tensor, k: int) -> Tensor:
    """The indices of the k largest keys along the last axis: with uniform keys, k of them without replacement, in random order.

    Two float32 keys are equal once in 2^24 pairs; the choice then depends on their order, and the k indices still differ.
    """
    return key.topk(k, dim=-1).indices
