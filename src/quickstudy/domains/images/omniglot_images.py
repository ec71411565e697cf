"""The image files of Omniglot: found in a folder or in the two published zips, checked by content, decoded and shrunk."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quickstudy.archives import members
from quickstudy.domains.images.image_file import open_image
from quickstudy.errors import ArgumentError, DataError
from quickstudy.tasks.sources.download import download

PARTS = {"images_background": 964, "images_evaluation": 659}  # classes in each part
DRAWERS, SIDE = 20, 105  # images of a class, pixels per side
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
MD5 = {"images_background": "68d2efa1b9178cc56df9314c21c6e718", "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811"}


def fetch(root: Path, url: str | None = None) -> None:
    """Download the two official zips into root, unless they or their folders are there already.

    Args:
        url: the folder to fetch them from, instead of the authors' on GitHub; the checksums stay.

    Raises:
        DataError: a zip that cannot be fetched, or with a wrong checksum.
    """
    for part, md5 in MD5.items():
        if not (root / f"{part}.zip").exists() and not (root / part).is_dir():
            download(f"{url or URL}{part}.zip", root / f"{part}.zip", md5=md5)


def read_images(root: Path, size: int = 28) -> dict[str, Tensor]:
    """Every class 'part/Alphabet/characterNN', sorted: uint8 (20 drawings, 1, size, size), ink 255 on ground 0.

    A pixel is the mean of the pixels of the 105x105 image that it covers. (MAML's and learn2learn's code ask for Lanczos:
    learn2learn on greys; MAML's script on 1-bit images, where Pillow takes the nearest pixel instead.)

    Raises:
        ArgumentError: size below 1.
        DataError: no data in root, a broken zip or image, or counts other than 964 + 659 classes of 20 images of 105x105.
    """
    if size < 1:
        raise ArgumentError("size", expected="1 pixel or more", got=str(size), do="28 is the field's habit.")
    drawings: dict[str, list[np.ndarray]] = {}
    for part, expected in PARTS.items():
        before = len(drawings)
        for name, content in _files(root, part):
            drawings.setdefault(name.rpartition("/")[0], []).append(_decoded(content, size, name))
        if len(drawings) - before != expected:
            raise _wrong(root, f"{expected} classes in {part}", f"{len(drawings) - before}")
    for name, images in drawings.items():
        if len(images) != DRAWERS:
            raise _wrong(root, f"{DRAWERS} images of every class", f"{len(images)} of {name}")
    return {name: torch.from_numpy(np.stack(images))[:, None] for name, images in sorted(drawings.items())}


def _files(root: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """('part/Alphabet/characterNN/NNNN_MM.png', its bytes) of every image of a part, sorted by name."""
    archive, folder = root / f"{part}.zip", root / part
    wanted = re.compile(rf"{part}/[^/]+/[^/]+/[^./][^/]*\.png")
    if folder.is_dir():
        for path in sorted(folder.glob("*/*/*.png")):
            if wanted.fullmatch(name := path.relative_to(root).as_posix()):
                yield name, path.read_bytes()
        return
    if not archive.is_file():
        raise DataError(
            f"root={str(root)!r}",
            expected=f"{part}.zip or the folder {part}/ in it",
            got="neither" if root.is_dir() else "no such folder",
            do="Get the zips from github.com/brendenlake/omniglot, folder python/, or pass download=True where a network is.",
        )
    yield from members(archive, wanted.fullmatch)


def _decoded(content: bytes, size: int, name: str) -> np.ndarray:
    """uint8 (size, size), ink 255. The files have ink 0 on ground 1."""
    from PIL import Image

    image = open_image(io.BytesIO(content), name=name).convert("L")
    if image.size != (SIDE, SIDE):
        raise DataError(
            name, expected=f"{SIDE}x{SIDE} pixels", got="{}x{}".format(*image.size), do="Give Omniglot's images as published."
        )
    return 255 - np.asarray(image.resize((size, size), Image.Resampling.BOX))


def _wrong(root: Path, expected: str, got: str) -> DataError:
    return DataError(
        f"root={str(root)!r}", expected=expected, got=got, do="Fetch the data again: some of it is missing or foreign."
    )
