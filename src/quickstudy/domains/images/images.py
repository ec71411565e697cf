"""All images of some files as one tensor; those that cannot be read are reported together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.progress import reading
from quickstudy.tasks.sources.broken import BrokenItems


def read_all(files: Sequence[Path], preprocessing: Preprocessing, what: str = "images") -> Tensor:
    """All images as uint8 (N, channels, size, size).

    Raises:
        BrokenItems: files that cannot be read: every file has been tried, and the error holds the other images.
    """
    images, broken = read_each(files, preprocessing, what)
    if broken:
        raise BrokenItems(broken, images)
    return images


def read_each(files: Sequence[Path], preprocessing: Preprocessing, what: str = "images") -> tuple[Tensor, dict[int, DataError]]:
    """The images that can be read, in the order of the files, and by place the error of each that cannot."""
    images = torch.empty(len(files), preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
    broken: dict[int, DataError] = {}
    for index, path in enumerate(reading(files, what)):
        try:
            images[index - len(broken)] = preprocessing.read(path)
        except DataError as error:
            broken[index] = error
    return images[: len(files) - len(broken)], broken
