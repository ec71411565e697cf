"""from_dataset: any map-style torch Dataset as few-shot tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.domains.images.array_images import as_images
from quickstudy.domains.images.image_file import is_picture, upright
from quickstudy.domains.images.images import WORTH_A_BAR
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ArgumentError, DataError, ShapeError
from quickstudy.progress import bar
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.dataset_labels import Labels, class_names_of
from quickstudy.tasks.sources.from_arrays import as_tensor
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.source import Augment, Protocol, family_of

KEYS = ("image", "img", "pixel_values", "x")  # of an item that is a mapping


def from_dataset(
    dataset: Any,
    *,
    labels: Labels = None,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split | None = None,
    seed: int = 0,
    size: int | None = None,
    channels: int | None = None,
    invert: bool = False,
    normalise: bool = True,
    augment: Augment = (),
    transform: Sequence[Transform] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a Dataset whose items are (x, y), {"image": x} or x.

    Args:
        dataset: has `__len__` and `__getitem__`. x is a PIL image, or an array or tensor as `from_arrays` takes it. Each item is
            read once, and those of a class that no part of the split names are not.
        labels: one for each item, or a function of the index; None: read from `.targets`, `.labels` or `.y` without decoding an
            item. Classes are named by `.classes` where the Dataset has it.
        size, channels: of images; None: those of the first one.
        split: see `from_arrays`; None: (0.64, 0.16, 0.2). The rest: see there and `from_folder`.

    Raises:
        LabelError: no labels, or another number of them than of items; see also `from_arrays`.
        ShapeError: items of different shapes; images that are not square, and no `size`.
        TaskError, ArgumentError: see `from_arrays`.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or len(dataset) == 0:
        raise ArgumentError(
            "dataset",
            expected="a map-style Dataset: with a length above 0 and items by index",
            got=f"an empty {type(dataset).__name__}" if hasattr(dataset, "__len__") else f"a {type(dataset).__name__}",
            do="Put the items of an iterable one into a list.",
        )
    names = class_names_of(dataset, labels)
    items = _Items(dataset, size, channels, invert)
    protocol = Protocol(ways, shots, queries, split, seed, augment, transform)
    return family_of(names, items.take, protocol, preprocessing=items.reads, normalise=normalise)


class _Items:
    """The x of a Dataset. The first one says what they all are."""

    def __init__(self, dataset: Any, size: int | None, channels: int | None, invert: bool):
        self.dataset, self.first, self.invert = dataset, _x(dataset[0]), invert
        self.reads: Preprocessing | None = None
        if is_picture(self.first):
            self.reads = _of_pictures(self.first, size, channels, invert)
            return
        first = as_tensor(np.asarray(self.first)[None])
        bytes_of_image = first.dtype in (torch.uint8, torch.uint16) and first.ndim in (3, 4)
        if bytes_of_image or size is not None or channels is not None or invert:
            self.reads = as_images(first, size, channels, invert)[1]

    def take(self, rows: list[int], what: str) -> Tensor:
        found: list[Any] = []
        with bar(len(rows), f"reading {what}", len(rows) >= WORTH_A_BAR) as advance:
            for row in rows:
                x = self.first if row == 0 else _x(self.dataset[row])
                found.append(self._pixels(x, row) if is_picture(self.first) else np.asarray(x))
                advance()
        if is_picture(self.first):
            return torch.stack(found)
        if self.reads is not None:
            return as_images(found, self.reads.size, self.reads.channels, self.invert)[0]
        x = as_tensor(found)
        check_x(x)
        return x

    def _pixels(self, x: Any, row: int) -> Tensor:
        if not is_picture(x):
            raise DataError(
                f"dataset[{row}]",
                expected="an image, as dataset[0] is",
                got=f"a {type(x).__name__}",
                do="Leave such items out with torch.utils.data.Subset.",
            )
        assert self.reads is not None
        return self.reads.of_image(x)


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


def _of_pictures(first: Any, size: int | None, channels: int | None, invert: bool) -> Preprocessing:
    image = upright(first)
    if size is None and image.width != image.height:
        raise ShapeError(
            "size",
            expected="pixels a side, where images are not square",
            got=f"none, and a first image of {image.width} x {image.height}",
            do="Give for example size=84.",
        )
    own = 1 if image.mode == "L" else 3
    return Preprocessing(image.width if size is None else size, own if channels is None else channels, invert)
