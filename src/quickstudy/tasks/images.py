"""Image files on disk: which there are, which class each belongs to, and all of them as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.errors import DataError
from quickstudy.progress import bar
from quickstudy.tasks.preprocessing import Preprocessing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
WORTH_A_BAR = 2000  # images


def is_image(path: Path) -> bool:
    """Whether the name is an image's. Hidden files are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def image_files(path: str | Path) -> list[Path]:
    """The images of a folder and of those in it, by name; or the one image.

    Raises:
        DataError: no such path, or no image there.
    """
    path = Path(path)
    found = [path] if path.is_file() else sorted(one for one in path.rglob("*") if is_image(one)) if path.is_dir() else []
    if not found:
        raise DataError(
            str(path),
            expected="an image, or a folder with images (" + ", ".join(suffix[1:] for suffix in SUFFIXES[:5]) + ", ...)",
            got="none in it" if path.is_dir() else "no such path",
            do="Check the path.",
        )
    return found


def class_folders(root: str | Path) -> dict[str, list[Path]]:
    """The images of each class: a folder that holds images is a class, named by its path below `root`.

    Raises:
        DataError: no such folder; no class in it; a class without images (an empty folder).
    """
    root = Path(root)
    folders = sorted(one for one in root.rglob("*") if one.is_dir() and not _hidden(one, root)) if root.is_dir() else []
    classes = {}
    for folder in folders:
        files = sorted(one for one in folder.iterdir() if is_image(one))
        if files:
            classes[folder.relative_to(root).as_posix()] = files
        elif not any(one.is_dir() for one in folder.iterdir()):
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
            got="no folder with images in it" if root.is_dir() else "no such folder",
            do="Make one folder for each class, named for it: " + str(root / "cat" / "1.png") + ", ...",
        )
    return classes


def read_all(files: Sequence[Path], preprocessing: Preprocessing) -> Tensor:
    """All images as uint8 (N, channels, size, size)."""
    images = torch.empty(len(files), preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
    with bar(len(files), "reading images", len(files) >= WORTH_A_BAR) as advance:
        for index, path in enumerate(files):
            images[index] = preprocessing.read(path)
            advance()
    return images


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(root).parts)
