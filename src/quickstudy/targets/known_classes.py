"""KnownClasses: which classes of its data a drawn episode has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor


@dataclass(frozen=True)
class KnownClasses:
    """The class behind each label of an episode. It is no tensor of the episode, so executors do not hand it to learners.

    Args:
        numbers: in the data, of the class with label 0, 1, ...: (ways,) int64 on the CPU, or (tasks, ways) for a batch.
        names: of all classes of the data, by their number.

    Examples:
        >>> from quickstudy.targets.known_classes import KnownClasses
        >>> drawn = KnownClasses(torch.tensor([[2, 0], [1, 2]]), names=["ant", "bee", "cat"])
        >>> drawn.named
        [('cat', 'ant'), ('bee', 'cat')]
        >>> drawn[1].named
        ('bee', 'cat')
    """

    numbers: Tensor = field(repr=False)
    names: Sequence[str] = field(repr=False)

    @property
    def short(self) -> Sequence[Any]:
        """`named` without the folders that all classes of the data share."""
        return type(self)(self.numbers, without_shared_folder(self.names)).named

    @property
    def named(self) -> Sequence[Any]:
        """The names in the order of the labels: a tuple, or a list of tuples for a batch."""
        rows = self.numbers.tolist()
        if self.numbers.ndim == 1:
            return tuple(self.names[number] for number in rows)
        return [tuple(self.names[number] for number in row) for row in rows]

    def __getitem__(self, index: Any) -> Self:
        """The classes of one task of a batch, or of several."""
        return type(self)(self.numbers[index.cpu() if isinstance(index, Tensor) else index], self.names)

    def relabelled(self, order: Tensor) -> Self:
        """The same classes where label i has become `order[..., i]`, order (tasks, ways)."""
        order = order.to(self.numbers.device)
        return type(self)(self.numbers.new_zeros(self.numbers.shape).scatter_(-1, order, self.numbers), self.names)


def without_shared_folder(names: Sequence[str]) -> list[str]:
    """The names without the folders that all of them are in, as "Greek/" of "Greek/alpha" and "Greek/beta"."""
    parts = [name.split("/") for name in names]
    shared = 0
    for level in zip(*(one[:-1] for one in parts), strict=False):  # as deep as the shallowest
        if len(set(level)) > 1:
            break
        shared += 1
    return ["/".join(one[shared:]) for one in parts]
