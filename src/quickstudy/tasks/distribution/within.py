"""Episodes within one group: all classes of an episode are of one alphabet, one superclass, one patient.

    group     ~  uniform over the groups with `ways` classes or more
    classes   ~  uniform, `ways` of the group's, without replacement

Every group is drawn as often, whatever its size; a class of a small group is therefore drawn more often than one of a large
group. So it is in within-alphabet classification, which has two runs for each of ten alphabets: Lake, Salakhutdinov & Tenenbaum,
"Human-level concept learning through probabilistic program induction", Science 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from quickstudy.errors import TaskError
from quickstudy.tasks.construction.augmentation.derived_names import turn_of
from quickstudy.tasks.distribution.class_index import ClassIndex, choose
from quickstudy.tasks.distribution.columns import Column
from quickstudy.tasks.distribution.layers import Layers
from quickstudy.tasks.distribution.size import Size, largest


@dataclass(frozen=True)
class Within:
    """The group of each class, by one column.

    A class rotated by `Rotations` is of a group of its own, 'Greek/rot090': no episode mixes upright and rotated characters. So
    are classes that share examples with others, 'Greek, SplitClasses'.

    Attributes:
        column: its name.
        groups: the names of the groups.
        of: (C,) the number of each class's group.
    """

    column: str
    groups: tuple[str, ...]
    of: Tensor = field(repr=False)

    @classmethod
    def read(cls, name: str, column: Column, index: ClassIndex, classes: Sequence[str], layers: Layers | None = None) -> Within:
        """The group of each class; those that share examples, by their `layers`, are of different groups.

        Raises:
            TaskError: a class whose examples are in several groups.
        """
        of = column.of[index.rows]
        first = of[index.starts]
        strays = (of != first.repeat_interleave(index.counts)).nonzero().flatten()
        if len(strays):
            place = int(strays[0])
            label = int(torch.searchsorted(index.starts, place, right=True)) - 1
            raise TaskError(
                f"within={name!r}",
                expected="each class within one group",
                got=f"class {classes[label]!r} in {column.groups[first[label]]!r} and in {column.groups[of[place]]!r}",
                do="Name a column that groups whole classes.",
            )
        ends = [turn_of(one) for one in classes] if layers is None else layers.ends(classes)
        names = [column.groups[group] + end for group, end in zip(first.tolist(), ends, strict=True)]
        groups = tuple(dict.fromkeys(names))
        number = {group: place for place, group in enumerate(groups)}
        return cls(name, groups, torch.tensor([number[one] for one in names]))

    @property
    def sizes(self) -> Tensor:
        """(groups,) classes of each group."""
        return torch.bincount(self.of, minlength=len(self.groups))

    def left_out(self, ways: Size) -> list[str]:
        """The groups with fewer classes than `ways`, from which no episode is drawn; of a range the highest counts."""
        return [self.groups[place] for place in (self.sizes < largest(ways)).nonzero().flatten().tolist()]

    def check(self, ways: Size) -> None:
        """Raise TaskError if no group has `ways` classes."""
        if len(self.left_out(ways)) == len(self.groups):
            most = int(self.sizes.argmax())
            raise TaskError(
                f"ways={ways}, within={self.column!r}",
                expected=f"a group of {largest(ways)} classes or more",
                got=f"at most {int(self.sizes[most])}, in {self.groups[most]!r}",
                do="Lower `ways`, or split so that groups stay whole.",
            )

    def choose_classes(self, n: int, ways: int, most: int, generator: torch.Generator) -> Tensor:
        """For each of n tasks `ways` classes of one group with `most` classes or more, in random order: (tasks, ways)."""
        enough = (self.sizes >= most).nonzero().flatten()
        group = enough[torch.randint(len(enough), (n, 1), generator=generator)]
        key = torch.rand(n, len(self.of), generator=generator)
        return choose(key.masked_fill_(self.of != group, -1.0), ways)
