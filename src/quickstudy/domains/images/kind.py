"""Images as a kind of data that sources read: files, PIL images, and arrays of pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, check_arguments
from quickstudy.domains.images.array_images import as_images
from quickstudy.domains.images.content import content_of
from quickstudy.domains.images.image_file import is_picture, upright
from quickstudy.domains.images.images import read_all
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ArgumentError, DataError, ShapeError
from quickstudy.progress import reading
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.distribution.rows import gathered
from quickstudy.tasks.sources.kind import Items, Kind


class Images(Kind):
    """See `SourceOptions` for size, channels, invert and normalise."""

    name = "images"
    options = frozenset({"size", "channels", "invert", "normalise", "memory"})
    telling = frozenset({"size", "channels", "invert"})
    preprocessings = (Preprocessing,)

    def recognises(self, value: Any) -> bool:
        """A PIL image, or an array of uint8 or uint16 with two or three axes."""
        return is_picture(value) or (str(getattr(value, "dtype", "")).endswith(("uint8", "uint16")) and value.ndim in (2, 3))

    def content(self, x: Tensor | LazyRows) -> Content | None:
        return content_of(x)

    def of_files(self, files: Sequence[Path], **options: Any) -> Items:
        return _of_files(files, **options)

    def of_values(self, values: Sequence[Any] | Tensor, **options: Any) -> Items:
        return _of_values(values, **options)


IMAGES = Images()


def _of_files(
    files: Sequence[Path],
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    memory: int | None = None,
) -> Items:
    reads = Preprocessing(size, channels, invert)
    if memory is not None:
        return _lazily(partial(_file, files, reads), reads, memory, normalise, _Below(files))
    return Items(lambda rows, part: read_all([files[row] for row in rows], reads, f"{part} images"), reads, normalise)


def _of_values(
    values: Sequence[Any] | Tensor,
    size: int | None = None,
    channels: int | None = None,
    invert: bool = False,
    normalise: bool = True,
    memory: int | None = None,
) -> Items:
    if memory is not None and isinstance(values, Tensor | list | tuple | np.ndarray):
        raise ArgumentError(
            "memory", expected="files, or a Dataset that reads its items", got="images in memory", do="Leave `memory` out."
        )
    if not isinstance(values, Tensor) and is_picture(values[0]):
        reads = _reads_pictures(values[0], size, channels, invert)
        if memory is not None:
            return _lazily(partial(_picture, values, reads), reads, memory, normalise)
        return Items(lambda rows, part: _pictures(values, rows, reads, part), reads, normalise)
    first = values[:1] if isinstance(values, Tensor) else [np.asarray(values[0])]
    reads = as_images(first, size, channels, invert)[1]

    if memory is not None:
        return _lazily(partial(_array, values, reads), reads, memory, normalise)

    def take(rows: list[int], part: str) -> Tensor:
        if isinstance(values, Tensor):
            some: Any = gathered(values, torch.tensor(rows))
        else:
            some = [np.asarray(values[row]) for row in reading(rows, f"{part} images")]
        return as_images(some, reads.size, reads.channels, invert)[0]

    return Items(take, reads, normalise)


def _lazily(
    read: Callable[[int], Tensor], reads: Preprocessing, memory: PositiveInt, normalise: bool, names: Sequence[str] = ()
) -> Items:
    """Images that are read as they are drawn; all parts of a split share the memory."""
    check_arguments(_lazily, {"memory": memory})
    every = LazyRows(read, torch.arange(0), (reads.channels, reads.size, reads.size), torch.uint8, memory, names)

    def take(rows: list[int], part: str) -> LazyRows:
        some = copy(every)
        some.of = torch.tensor(rows)
        return some

    return Items(take, reads, normalise)


def _file(files: Sequence[Path], reads: Preprocessing, row: int) -> Tensor:
    return reads.read(files[row])


def _picture(values: Sequence[Any], reads: Preprocessing, row: int) -> Tensor:
    return _pictures(values, [row], reads, "")[0]


def _array(values: Any, reads: Preprocessing, row: int) -> Tensor:
    return as_images([np.asarray(values[row])], reads.size, reads.channels, reads.invert)[0][0]


class _Below(Sequence[str]):
    """The names of files below the folder that they share."""

    def __init__(self, files: Sequence[Path]):
        self.files, self.root = files, os.path.commonpath({os.path.dirname(file) for file in files}) if files else ""

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: Any) -> Any:
        return str(self.files[row])[len(self.root) :].replace(os.sep, "/")


def _reads_pictures(first: Any, size: int | None, channels: int | None, invert: bool) -> Preprocessing:
    image = upright(first)
    if size is None and image.width != image.height:
        raise ShapeError(
            "size",
            expected="pixels a side, where images are not square",
            got=f"none, and a first image of {image.width} x {image.height}",
            do="Give for example size=84.",
        )
    modes = 1 if image.mode == "L" else 3
    return Preprocessing(image.width if size is None else size, modes if channels is None else channels, invert)


def _pictures(values: Sequence[Any], rows: list[int], reads: Preprocessing, part: str) -> Tensor:
    found = []
    for row in reading(rows, f"{part} images"):
        x = values[row]
        if not is_picture(x):
            raise DataError(
                f"dataset[{row}]",
                expected="an image, as dataset[0] is",
                got=f"a {type(x).__name__}",
                do="Leave such items out with torch.utils.data.Subset.",
            )
        found.append(reads.of_image(x))
    return torch.stack(found)
