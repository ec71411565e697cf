"""Buckets: a batch of tasks of several structures, as a batch of episodes for each family.

Tasks of one family have one structure and stack; those of several do not. Whatever goes through a batch task by task
(`meta.problem.task`) sees the tasks of the first family, then those of the second; whatever maps over a batch at once does so for
one family after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode


class Buckets:
    """A batch of tasks of several families.

    Args:
        parts: the batch of each family by its name, none of them empty.

    Examples:
        >>> from quickstudy.buckets import Buckets
        >>> waves, classes = qs.tasks.Sinusoid().train.sample(2), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(3)
        >>> batch = Buckets({"waves": waves, "classes": classes})
        >>> len(batch), batch[3].family, batch[1:4]
        (5, 'classes', Buckets(waves=1, classes=2))
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Mapping[str, Episode]):
        self.parts = {name: part.of(name) for name, part in parts.items()}

    def __len__(self) -> int:
        """The number of tasks of all families."""
        return sum(map(len, self.parts.values()))

    def __getitem__(self, index: int | slice) -> Any:
        """One task as an `Episode`; several as `Buckets`."""
        if isinstance(index, int):
            for part in self.parts.values():
                if index < len(part):
                    return part[index]
                index -= len(part)
            raise IndexError("no such task")
        start, stop, _ = index.indices(len(self))
        found, before = {}, 0
        for name, part in self.parts.items():
            first, last = max(start - before, 0), min(stop - before, len(part))
            if first < last:
                found[name] = part[first:last]
            before += len(part)
        return Buckets(found)

    def pieces(self) -> Iterator[tuple[Episode, slice]]:
        """The batch of each family, with the slice of all tasks that it is."""
        before = 0
        for part in self.parts.values():
            yield part, slice(before, before + len(part))
            before += len(part)

    def map(self, function: Callable[[Tensor], Tensor]) -> Buckets:
        """The same with `function` applied to every tensor."""
        return Buckets({name: part.map(function) for name, part in self.parts.items()})

    def __repr__(self) -> str:
        return f"Buckets({', '.join(f'{name}={len(part)}' for name, part in self.parts.items())})"


def pieces(batch: Any, n: int) -> Iterator[tuple[Any, slice]]:
    """The parts of one structure of a batch of n tasks, each with the slice of all tasks that it is."""
    if isinstance(batch, Buckets):
        yield from batch.pieces()
    else:
        yield batch, slice(0, n)


def _unflatten(leaves: Any, names: tuple[str, ...]) -> Buckets:
    batch = object.__new__(Buckets)
    batch.parts = dict(zip(names, leaves, strict=True))
    return batch


pytree.register_pytree_node(
    Buckets,
    lambda batch: (list(batch.parts.values()), tuple(batch.parts)),
    _unflatten,
    serialized_type_name="quickstudy.Buckets",
)
