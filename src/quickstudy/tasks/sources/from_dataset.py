"""from_dataset: any map-style torch Dataset as few-shot tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.arrays import as_tensor
from quickstudy.calls import remembered
from quickstudy.errors import ArgumentError, DataError
from quickstudy.options import hands_on
from quickstudy.progress import reading
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.sources.dataset_labels import Labels, class_names_of
from quickstudy.tasks.sources.kind import Items, check_options, kind_of_value
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions, parted
from quickstudy.tasks.sources.source import family_of

KEYS = ("image", "img", "pixel_values", "audio", "x")  # of an item that is a mapping


@remembered
@checked
@hands_on(SourceOptions, Protocol, **READING)
def from_dataset(
    dataset: Any,
    *,
    labels: Labels = None,
    kind: str | None = None,
    columns: Mapping[str, Any] | None = None,
    **options: Unpack[SourceOptions],
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a Dataset whose items are (x, y), {"image": x} or x.

    Args:
        dataset: has `__len__` and `__getitem__`. x is a PIL image, or an array or tensor as `from_arrays` takes it. Each item is
            read once; items of a class that no part of the split names are not read.
        labels: one for each item, or a function of the index; None: read from `.targets`, `.labels` or `.y` without decoding an
            item. Classes are named by `.classes` if the Dataset has it.
        kind: see `from_arrays`; None: taken from the first item.
        columns: see `from_arrays`.

    Other Args:
        options: see `SourceOptions`. `size` and `channels` None: those of the first image.

    Raises:
        LabelError: no labels, or a number of labels other than the number of items; see also `from_arrays`.
        ShapeError: items of different shapes; images that are not square, without a `size`.
        TaskError, ArgumentError: see `from_arrays`.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or len(dataset) == 0:
        raise ArgumentError(
            "dataset",
            expected="a map-style Dataset: with a length above 0 and items by index",
            got=f"an empty {type(dataset).__name__}" if hasattr(dataset, "__len__") else f"a {type(dataset).__name__}",
            do="Put the items of an iterable one into a list.",
        )
    names, values = class_names_of(dataset, labels), _Values(dataset)
    protocol, given = parted(options)
    reads = kind_of_value(values[0], kind, given)
    if reads is None:
        return family_of(names, Items(values.numbers), protocol, columns=columns)
    check_options(reads, given)
    return family_of(names, reads.of_values(values, **given), protocol, columns=columns)


class _Values(Sequence):
    """The x of each item of a Dataset. The first, which tells the kind of them all, is read only once."""

    def __init__(self, dataset: Any):
        self.dataset, self.first = dataset, _x(dataset[0])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        return self.first if row == 0 else _x(self.dataset[row])

    def numbers(self, rows: list[int], part: str) -> Tensor:
        """Plain numbers as one tensor."""
        x = as_tensor([np.asarray(self[row]) for row in reading(rows, f"{part} examples")])
        check_x(x)
        return x


def _x(item: Any) -> Any:
    """The x of an item."""
    if isinstance(item, dict):
        key = next((key for key in KEYS if key in item), None)
        if key is None:
            raise DataError(
                "dataset",
                expected="items with one of the keys " + ", ".join(KEYS),
                got=", ".join(map(str, item)),
                do="Rename it.",
            )
        return item[key]
    return item[0] if isinstance(item, tuple | list) else item
