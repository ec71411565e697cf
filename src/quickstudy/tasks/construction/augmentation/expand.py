"""The data of meta-training with the classes that augmentations make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, named

LAYER = "augmentation"  # the column that says which augmentation made the class of an example
DATA = "none"  # its group of the classes that share no example


class Expanded(NamedTuple):
    """Data with further classes.

    Attributes:
        rows: the row of the data that each example was made from.
        layer: which augmentation made each example's class, where classes share examples; None: none do.
    """

    x: Tensor
    y: Tensor
    names: list[str]
    rows: Tensor
    layer: list[str] | None


def class_augmentations(augment: Sequence[Any]) -> list[ClassAugmentation]:
    """Those that add classes to the data.

    Those whose classes share no example with the others come first: what splits and merges classes has theirs too.

    Raises:
        ArgumentError: two of one kind, whose classes would be the same.
    """
    found = [one for one in augment if isinstance(one, ClassAugmentation)]
    for one in found:
        if sum(type(other) is type(one) for other in found) > 1:
            raise ArgumentError(
                "augment",
                expected="each augmentation that makes new classes once",
                got=f"{type(one).__name__} twice",
                do="Leave one of them out.",
            )
    return sorted(found, key=lambda one: one.shares_examples)


def expanded(augment: Sequence[ClassAugmentation], x: Tensor, y: Tensor, names: Sequence[str]) -> Expanded:
    """The data x (N, *feature), y (N,) with the new classes behind the old ones."""
    rows, names = torch.arange(len(y)), list(names)
    layers = []
    base = (x, y, list(names), rows)
    for one in augment:
        made = one.made(*base[:3])
        origin = base[3][made.rows]
        x, y = torch.cat([x, made.x]), torch.cat([y, made.y.to(y.device) + len(names)])
        names, rows = [*names, *made.names], torch.cat([rows, origin])
        if one.shares_examples:
            layers.append((type(one).__name__, len(origin)))
        else:
            base = (x, y, names, rows)
    if not layers:
        return Expanded(x, y, names, rows, None)
    layer = [DATA] * len(base[1]) + [name for name, count in layers for _ in range(count)]
    return Expanded(x, y, names, rows, layer)


def counts_by_layer(augment: Sequence[ClassAugmentation], counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """The number of examples of each class, by layer, as `expanded` makes them; no example is read for it."""
    base, layers = dict(counts), {}
    for one in augment:
        if one.shares_examples:
            layers[type(one).__name__] = one.counts(base)
        else:
            base |= one.counts(base)
    return {DATA: base, **layers}


def every_count(augment: Sequence[ClassAugmentation], counts: Mapping[str, int]) -> dict[str, int]:
    """The same for the classes of all layers together."""
    return {name: count for layer in counts_by_layer(augment, counts).values() for name, count in layer.items()}


def refuse_lazy(augment: Sequence[ClassAugmentation], lazy: bool) -> None:
    """Raise UnsupportedError for items that are read as they are drawn, of which no new ones are made."""
    if augment and lazy:
        raise UnsupportedError(
            named(augment[0]),
            expected="items that are all read when the source is opened",
            got="`memory`, under which they are read as they are drawn",
            do="Leave one of the two out.",
        )
