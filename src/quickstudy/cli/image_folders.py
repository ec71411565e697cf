"""Folders of images as a command gets them: read file by file, so that broken ones are reported together."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import quickstudy as qs
from quickstudy.domains.images.images import read_each
from quickstudy.domains.images.kind import IMAGES
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.folders import class_folders


def read_support(folder: Path, preprocessing: Preprocessing) -> tuple[list[str], qs.Examples]:
    """The class names and the examples of a folder of class folders.

    Raises:
        DataError: no such folder, no class in it, or files that cannot be read: all of them are named.
    """
    classes = class_folders(folder, IMAGES)
    images, broken = read_files([path for files in classes.values() for path in files], preprocessing)
    if broken:
        raise together(broken, str(folder))
    y = torch.tensor([label for label, files in enumerate(classes.values()) for _ in files])
    return list(classes), qs.Examples(preprocessing.apply(torch.stack(list(images.values()))), y, ways=len(classes))


def read_files(files: list[Path], preprocessing: Preprocessing) -> tuple[dict[Path, Tensor], list[DataError]]:
    """The pixels of each file that can be read, and an error for each that cannot."""
    images, broken = read_each(files, preprocessing)
    readable = [path for place, path in enumerate(files) if place not in broken]
    return dict(zip(readable, images, strict=True)), list(broken.values())


def labels_of(files: list[Path], root: Path, names: list[str]) -> list[str | None]:
    """The class that the folder of each file says, where it is called as a class of the support; None elsewhere."""
    if root.is_file():
        return [None]
    folders = [path.parent.relative_to(root).as_posix() for path in files]
    return [folder if folder in names else None for folder in folders]
