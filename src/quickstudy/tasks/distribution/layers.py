"""Layers: classes that share examples, of which no episode has two.

    layer     ~  in proportion to its number of classes
    classes   ~  uniform, `ways` of the layer's, without replacement

So each class is drawn as often as any other. `SplitClasses` and `MergeClasses` make such classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from quickstudy.errors import TaskError
from quickstudy.tasks.construction.augmentation.derived_names import turn_of
from quickstudy.tasks.construction.augmentation.expand import DATA
from quickstudy.tasks.distribution.class_index import ClassIndex, choose
from quickstudy.tasks.distribution.columns import Column
from quickstudy.tasks.distribution.size import Size, largest


@dataclass(frozen=True)
class Layers:
    """The layer of each class, by one column.

    Attributes:
        column: its name.
        groups: the names of the layers.
        of: (C,) the number of each class's layer.
    """

    column: str
    groups: tuple[str, ...]
    of: Tensor = field(repr=False)

    @classmethod
    def read(cls, name: str, column: Column, index: ClassIndex) -> Layers:
        """The layer of each class, which is that of its first example."""
        column = column.present()
        return cls(name, column.groups, column.of[index.rows][index.starts])

    def check(self, ways: Size) -> None:
        """Raise TaskError for a layer with fewer classes than `ways`."""
        for group, count in zip(self.groups, torch.bincount(self.of, minlength=len(self.groups)).tolist(), strict=True):
            if count < largest(ways):
                raise TaskError(
                    f"ways={ways}, {self.column}={group!r}",
                    expected=f"{largest(ways)} classes or more that share no example",
                    got=str(count),
                    do="Lower `ways`, leave this augmentation out, or bring more classes.",
                )

    def ends(self, classes: Sequence[str]) -> list[str]:
        """What the name of each class's group ends with, so that no group is of two layers, or of two rotations."""
        of = [self.groups[layer] for layer in self.of.tolist()]
        return [turn_of(name) + ("" if layer == DATA else f", {layer}") for name, layer in zip(classes, of, strict=True)]

    def choose_classes(self, n: int, ways: int, generator: torch.Generator) -> Tensor:
        """For each of n tasks `ways` classes of one layer, in random order: (tasks, ways)."""
        layer = self.of[torch.randint(len(self.of), (n, 1), generator=generator)]
        key = torch.rand(n, len(self.of), generator=generator)
        return choose(key.masked_fill_(self.of != layer, -1.0), ways)
