"""from_dataset: any map-style torch Dataset as few-shot tasks; from_huggingface: a data set of the `datasets` library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import DataError, LabelError
from quickstudy.progress import bar
from quickstudy.tasks.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution import LabelledTasks
from quickstudy.tasks.family import TaskFamily
from quickstudy.tasks.from_arrays import as_names, as_tensor, from_arrays
from quickstudy.tasks.images import WORTH_A_BAR
from quickstudy.tasks.preprocessing import Preprocessing
from quickstudy.tasks.size import Size

ATTRIBUTES = ("targets", "labels", "y")


def from_dataset(
    dataset: Any,
    *,
    labels: Sequence[Any] | Callable[[int], Any] | None = None,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split = FRACTIONS,
    seed: int = 0,
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    augment: Sequence[Any] = (),
    transform: Sequence[Any] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a Dataset whose items are (x, y) or x.

    Args:
        dataset: has `__len__` and `__getitem__`. PIL images are resized to `size`; arrays and tensors must be of one shape.
        labels: one for each item, or a function of the index; None: read from `.targets`, `.labels` or `.y` without decoding an
            image.
        size, channels, invert, normalise: of PIL images, see `from_folder`; the rest: see `from_arrays`.

    Raises:
        LabelError: no labels, or another number of them than of items.
        ShapeError: items of different shapes.
    """
    names = as_names(_labels(dataset, labels))
    if len(names) != len(dataset):
        raise LabelError(
            "labels",
            expected=f"{len(dataset)}, one for each item",
            got=str(len(names)),
            do="Give labels in the order of the items.",
        )
    reads = Preprocessing(size, channels, invert)
    x, are_images = _items(dataset, reads)
    split = split_classes(sorted(set(names)), split, seed)
    if are_images and normalise:
        train = set(split["train"])
        reads = reads.fitted(x[torch.tensor([name in train for name in names])])
    return from_arrays(
        x,
        names,
        ways=ways,
        shots=shots,
        queries=queries,
        split=split,
        seed=seed,
        augment=augment,
        transform=transform,
        preprocessing=reads if are_images else None,
    )


def from_huggingface(dataset: Any, *, x: str = "image", y: str = "label", **arguments: Any) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a data set of the `datasets` library: one split of it, with the columns `x` and `y`.

    Classes are named by the column's own names where it has them (ClassLabel). The other arguments are those of `from_dataset`.

    Raises:
        DataError: a column that is not there; a dictionary of splits.
    """
    columns = getattr(dataset, "column_names", None)
    if not isinstance(columns, list):
        raise DataError(
            "dataset",
            expected="one split of a `datasets` data set",
            got=f"a {type(dataset).__name__}",
            do="Take one: load_dataset(name, split='train'); few-shot splits are by class, and made here.",
        )
    for column in (x, y):
        if column not in columns:
            raise DataError(f"column {column!r}", expected="one of " + ", ".join(columns), got="none of it", do="Give x= and y=.")
    values, names = dataset[y], getattr(dataset.features[y], "names", None)
    labels = [names[value] for value in values] if names else list(values)
    return from_dataset(_Column(dataset, x), labels=labels, **arguments)


class _Column:
    """One column of a table as a Dataset."""

    def __init__(self, table: Any, column: str):
        self.table, self.column = table, column

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Any:
        return self.table[index][self.column]


def _labels(dataset: Any, labels: Sequence[Any] | Callable[[int], Any] | None) -> Any:
    if callable(labels):
        return [labels(index) for index in range(len(dataset))]
    if labels is not None:
        return labels
    for name in ATTRIBUTES:
        found = getattr(dataset, name, None)
        if found is not None:
            return found
    raise LabelError(
        "dataset",
        expected="labels as " + ", ".join(f".{name}" for name in ATTRIBUTES),
        got=f"a {type(dataset).__name__} without them",
        do="Pass labels=[...], one for each item, or a function of the index: labels=lambda index: ...",
    )


def _items(dataset: Any, reads: Preprocessing) -> tuple[Tensor, bool]:
    """All x as one tensor, and whether they were PIL images."""
    from PIL import Image

    found, images = [], False
    with bar(len(dataset), "reading items", len(dataset) >= WORTH_A_BAR) as advance:
        for index in range(len(dataset)):
            item = dataset[index]
            x = item[0] if isinstance(item, tuple | list) else item
            if isinstance(x, Image.Image):
                images, x = True, reads.of_image(x).numpy()
            found.append(np.asarray(x))
            advance()
    return as_tensor(found), images
