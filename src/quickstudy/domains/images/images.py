"""Image files on disk: which there are, which class each belongs to, and all of them as one tensor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.progress import bar

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
WORTH_A_BAR = 2000  # images


def is_image(path: Path) -> bool:
    """Whether the name is an image's. Hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and os.path.isfile(path)


def image_files(path: str | Path) -> list[Path]:
    """The images of a folder and of those in it, by name; or the one image.

    Raises:
        DataError: no such path, or no image there.
    """
    path = Path(path)
    found = [path] if os.path.isfile(path) else sorted(file for _, files, _ in _walk(path) for file in files)
    if not found:
        raise DataError(
            str(path),
            expected="an image, or a folder with images (" + ", ".join(suffix[1:] for suffix in SUFFIXES[:5]) + ", ...)",
            got="none in it" if os.path.isdir(path) else "no such path",
            do="Check the path.",
        )
    return found


def class_folders(root: str | Path) -> dict[str, list[Path]]:
    """The images of each class: a folder that holds images is a class, named by its path below `root`.

    Raises:
        DataError: no such folder; no class in it; a class without images (an empty folder).
    """
    root = Path(root)
    classes = {}
    for folder, files, folders in _walk(root):
        if files and folder != root:
            classes[folder.relative_to(root).as_posix()] = files
        elif not files and not folders and folder != root:
            raise DataError(
                str(folder),
                expected="images of its class",
                got="a folder without an image",
                do="Put the class's images into it, or remove it.",
            )
    if not classes:
        raise DataError(
            str(root),
            expected="a folder with a folder of images for each class",
            got="no folder with images in it" if os.path.isdir(root) else "no such folder",
            do="Make one folder for each class, named for it: " + str(root / "cat" / "1.png") + ", ...",
        )
    return dict(sorted(classes.items()))


def read_all(files: Sequence[Path], preprocessing: Preprocessing, what: str = "images") -> Tensor:
    """All images as uint8 (N, channels, size, size)."""
    images = torch.empty(len(files), preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
    with bar(len(files), f"reading {what}", len(files) >= WORTH_A_BAR) as advance:
        for index, path in enumerate(files):
            images[index] = preprocessing.read(path)
            advance()
    return images


def _walk(root: Path) -> list[tuple[Path, list[Path], list[str]]]:
    """Each folder at and below root, its images by name, and its folders. Links are followed, each folder once."""
    found, seen = [], set()
    for here, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back to where we have been
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        files = sorted(path for name in names if is_image(path := Path(here) / name))
        found.append((Path(here), files, list(folders)))
    return found
