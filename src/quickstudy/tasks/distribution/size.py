"""Sizes of an episode: ways, shots, queries. Each is a number, or a range from which one number is drawn for each batch."""

from __future__ import annotations

import torch

from quickstudy.errors import ArgumentError

Size = int | tuple[int, int]  # a number, or (lowest, highest), both included


def drawn(size: Size, generator: torch.Generator) -> int:
    """The size itself, or one drawn uniformly from its range."""
    if isinstance(size, int):
        return size
    low, high = size
    return int(torch.randint(low, high + 1, (), generator=generator))


def largest(size: Size) -> int:
    """The largest number that `drawn` can give."""
    return size if isinstance(size, int) else size[1]


def check_size(name: str, size: Size, least: int) -> None:
    """Raise ArgumentError unless `size` is an int of at least `least`, or a range of such ints."""
    low, high = (size, size) if isinstance(size, int) else size if _is_range(size) else (least - 1, least - 1)
    if low < least or high < low:
        raise ArgumentError(
            name,
            expected=f"an int of {least} or more, or a range (low, high) of them",
            got=repr(size),
            do=f"Give for example {name}={max(least, 1)}.",
        )


def _is_range(size: object) -> bool:
    return isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(end, int) for end in size)
