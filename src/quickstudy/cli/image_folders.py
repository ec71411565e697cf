"""Folders of images as a command gets them: read file by file, so that broken ones are reported together."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.cli.reader import Query, Reader, Support
from quickstudy.domains.images.images import read_each
from quickstudy.domains.images.kind import IMAGES
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.folders import class_folders, files_of


class ImageReader(Reader):
    """Images, in a folder for each class, or in any folder to be named.

    Args:
        preprocessing: of the run.
        other_ground: what to do about pictures of another ground than the run's, of which a line on stderr says so.
    """

    kind, labelled = "images", "images in folders of a class"
    mislabelled = "Is it in the right folder?"

    def __init__(self, preprocessing: Preprocessing, other_ground: str):
        self._preprocessing, self.other_ground = preprocessing, other_ground

    @property
    def preprocessing(self) -> Preprocessing:
        """The run's."""
        return self._preprocessing

    def support(self, path: Path) -> Support:
        """The labelled images of a folder of class folders."""
        classes = class_folders(path, IMAGES)
        images, broken = self._read([file for files in classes.values() for file in files])
        if broken:
            raise together(broken, str(path))
        y = torch.tensor([label for label, files in enumerate(classes.values()) for _ in files])
        x = torch.stack(list(images.values()))
        self._warn_of_ground("--support", x)
        return Support(list(classes), [{"file": str(file)} for file in images], x, y)

    def query(self, path: Path, names: list[str]) -> Query:
        """The images of a folder and all folders below it, labelled where a folder is called as a class; or one image."""
        images, broken = self._read(files_of(path, IMAGES))
        if not images:
            raise together(broken, f"--query {path}")
        x = torch.stack(list(images.values()))
        self._warn_of_ground("--query", x)
        return Query([{"file": str(file)} for file in images], x, labels_of(list(images), path, names), broken)

    def _read(self, files: list[Path]) -> tuple[dict[Path, Tensor], list[DataError]]:
        """The pixels of each file that can be read, and an error for each that cannot."""
        images, broken = read_each(files, self.preprocessing)
        readable = [path for place, path in enumerate(files) if place not in broken]
        return dict(zip(readable, images, strict=True)), list(broken.values())

    def _warn_of_ground(self, option: str, images: Tensor) -> None:
        if other := self.preprocessing.other_ground(images):
            print(f"quickstudy: warning: {option}: {other}. {self.other_ground}", file=sys.stderr)


def labels_of(files: list[Path], root: Path, names: list[str]) -> list[str | None]:
    """The class that the folder of each file says, where it is called as a class of the support; None elsewhere."""
    if root.is_file():
        return [None]
    folders = [path.parent.relative_to(root).as_posix() for path in files]
    return [folder if folder in names else None for folder in folders]
