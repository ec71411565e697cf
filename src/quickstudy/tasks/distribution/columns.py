"""Columns of labelled data: what is known of each example beside its class, such as the alphabet of a character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError, ShapeError, nearest
from quickstudy.tasks.distribution.class_names import as_names, in_order


@dataclass(frozen=True)
class Column:
    """The groups of a column.

    Attributes:
        groups: their names, sorted.
        of: (N,) the number of each example's group. On the CPU.
    """

    groups: tuple[str, ...]
    of: Tensor = field(repr=False)

    def rows(self, rows: Tensor) -> Column:
        """The column of these rows, with the same groups."""
        return Column(self.groups, self.of[rows.cpu()])

    def present(self) -> Column:
        """The column with those groups alone that have an example."""
        held = torch.bincount(self.of, minlength=len(self.groups)) > 0
        groups = tuple(group for group, one in zip(self.groups, held.tolist(), strict=True) if one)
        return Column(groups, (held.cumsum(0) - 1)[self.of])

    def counts(self, labels: Tensor, classes: int) -> Tensor:
        """The number of examples of each class in each group, (classes, groups), for the labels (N,)."""
        pairs = torch.bincount(labels * len(self.groups) + self.of, minlength=classes * len(self.groups))
        return pairs.view(classes, len(self.groups))


Columns = Mapping[str, Column]


def read_columns(given: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Column]:
    """Columns by name.

    Args:
        given: for each column its groups, labels of any kind: one for each example, or a mapping from class name to group; or a
            `Column`.
        classes: the class name of each example.

    Raises:
        ShapeError: another number of groups than of examples.
        LabelError: a group that is missing, or a class without one.
    """
    return {name: _read(name, one, classes) for name, one in given.items()}


def check_known(within: str, columns: Mapping[str, Any]) -> None:
    """Raise ArgumentError unless there is a column of this name."""
    if within not in columns:
        raise ArgumentError(
            "within",
            expected="one of the columns " + ", ".join(columns) if columns else "nothing: these data have no columns of groups",
            got=repr(within),
            do=nearest(within, columns)
            if columns
            else "Name the group of each class where the data are opened: columns={'alphabet': {'alpha': 'Greek', ...}}.",
        )


def _read(name: str, given: Any, classes: Sequence[str]) -> Column:
    if isinstance(given, Column):
        return given
    argument = f"columns[{name!r}]"
    if isinstance(given, Mapping):
        by_class = {str(key): group for key, group in given.items()}
        if without := next((one for one in classes if one not in by_class), None):
            raise LabelError(argument, expected="a group for every class", got=f"none for {without!r}", do="Name its group.")
        given = [by_class[one] for one in classes]
    values = as_names(given, argument)
    if len(values) != len(classes):
        raise ShapeError(
            argument,
            expected=f"{len(classes)} groups, one for each example, or a mapping from class to group",
            got=str(len(values)),
            do="Give them in the order of the examples.",
        )
    groups = tuple(in_order(values))
    number = {group: place for place, group in enumerate(groups)}
    return Column(groups, torch.tensor([number[value] for value in values], dtype=torch.int64))
