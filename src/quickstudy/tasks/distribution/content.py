"""What an example is by its content, whatever its class is called: by it, parts that share examples are found.

    same(i, j)   <=>   key_i = key_j  != 0     and     max_d | detail_i[d] - detail_j[d] |  <=  tolerance

A key is a hash, so that all examples are compared by sorting. Where a hash is coarse, so that it survives another encoding, the
detail tells apart what it takes for one. A key of 0 says that there is nothing to tell an example by, as in a blank image.

Each domain fills this for its own kind of data: pictures by a perceptual hash (`Kind.content`), texts by `Content.of_texts` on
normalised text, molecules on their InChI keys (`Items.content`). Other numbers are compared by the values of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import ShapeError
from quickstudy.tasks.distribution.lazy_rows import LazyRows

AT_ONCE = 512  # rows that are hashed at once
MOST = 64  # of each side that share one key, this many are compared in detail
PAIRS = 100_000  # that are compared in detail at once


@dataclass(frozen=True)
class Content:
    """The contents of examples.

    Attributes:
        kind: contents of one kind alone are compared.
        keys: (N,) int64, on the CPU; 0: nothing to tell an example by.
        detail: rows (n,) -> (n, features), asked for rows whose keys are equal; None: the keys decide alone.
        tolerance: the largest difference in detail between two examples that are the same.

    Examples:
        >>> from quickstudy.tasks.distribution.content import Content, shared
        >>> ours, theirs = Content.of_texts("texts", ["hello", "good morning"]), Content.of_texts("texts", ["ciao", "hello"])
        >>> shared(ours, theirs)
        (tensor([0]), tensor([1]))
    """

    kind: str
    keys: Tensor = field(repr=False)
    detail: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    tolerance: float = 0.0

    @classmethod
    def of_texts(cls, kind: str, texts: Iterable[str]) -> Content:
        """The contents of examples that a text each says in full; the empty text says nothing."""
        return cls(kind, torch.tensor([hashed(text.encode()) if text else 0 for text in texts], dtype=torch.int64))

    def rows(self, rows: Tensor) -> Content:
        """The contents of these rows."""
        rows = rows.cpu()
        detail = None if self.detail is None else _Rows(self.detail, rows)
        return Content(self.kind, self.keys[rows], detail, self.tolerance)


@dataclass(frozen=True)
class Held:
    """The contents of labelled examples: the class of example i is names[labels[i]]."""

    content: Content
    labels: Tensor
    names: list[str]

    def name(self, row: int) -> str:
        """The class of a row."""
        return self.names[int(self.labels[row])]


def of_numbers(x: Tensor | LazyRows) -> Content:
    """Rows of numbers (N, *feature) by their values, as float32. A row whose values are all the same says nothing."""
    keys = []
    for part in x.split(AT_ONCE):
        rows = part.detach().cpu().reshape(len(part), -1).to(torch.float32) + 0.0  # -0.0 is 0.0
        flat = (rows == rows[:, :1]).all(1).tolist()
        keys += [0 if blank else hashed(row.tobytes()) for row, blank in zip(rows.numpy(), flat, strict=True)]
    return Content("numbers", torch.tensor(keys, dtype=torch.int64))


def check_content(content: Content, examples: int) -> None:
    """Raise ShapeError unless there is a content for each example."""
    if len(content.keys) != examples:
        raise ShapeError(
            "content",
            expected=f"{examples} keys, one for each example",
            got=str(len(content.keys)),
            do="Give them in the order of the examples.",
        )


def hashed(content: bytes) -> int:
    """A key other than 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True) or 1


def shared(one: Content, other: Content) -> tuple[Tensor, Tensor]:
    """The pairs of a row of `one` and a row of `other` that are the same: (pairs,) and (pairs,)."""
    rows, others = _candidates(one.keys.numpy(), other.keys.numpy())
    if one.detail is None or other.detail is None or not len(rows):
        return rows, others
    ours, place = torch.unique(rows, return_inverse=True)
    theirs, other_place = torch.unique(others, return_inverse=True)
    a, b = one.detail(ours), other.detail(theirs)
    chunks = zip(place.split(PAIRS), other_place.split(PAIRS), strict=True)
    same = torch.cat([(a[i] - b[j]).abs().amax(1) <= one.tolerance for i, j in chunks])
    return rows[same], others[same]


def _candidates(ours: np.ndarray, theirs: np.ndarray) -> tuple[Tensor, Tensor]:
    """The pairs of places with equal keys other than 0, of the first `MOST` of each key on each side."""
    (rows, keys), (others, sorted_keys) = _within(ours, theirs), _within(theirs, ours)
    first = np.searchsorted(sorted_keys, keys, "left")
    counts = np.searchsorted(sorted_keys, keys, "right") - first
    before = np.repeat(np.cumsum(counts) - counts, counts)
    partners = np.repeat(first, counts) + np.arange(counts.sum()) - before
    return torch.from_numpy(np.repeat(rows, counts)), torch.from_numpy(others[partners])


def _within(keys: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places, and the keys in sorted order, of those that `others` has too; at most `MOST` of each key."""
    places = np.flatnonzero((keys != 0) & np.isin(keys, others))
    places = places[np.argsort(keys[places], kind="stable")]
    found = keys[places]
    rank = np.arange(len(found)) - np.searchsorted(found, found, "left")
    return places[rank < MOST], found[rank < MOST]


@dataclass(frozen=True)
class _Rows:
    """The detail of some rows of others."""

    detail: Callable[[Tensor], Tensor]
    rows: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return self.detail(self.rows[rows])
