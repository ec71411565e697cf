"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Source: Lake, Salakhutdinov & Tenenbaum, "Human-level concept learning through probabilistic program induction", Science 2015.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import DataError
from quickstudy.tasks.distribution import LabelledTasks, Size, TaskFamily
from quickstudy.tasks.splits import Splits, random_split, read_split

PARTS = {"images_background": 964, "images_evaluation": 659}  # classes in each part
DRAWERS, SIDE = 20, 105  # images a class, pixels a side
URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
MD5 = {"images_background": "68d2efa1b9178cc56df9314c21c6e718", "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811"}
VALIDATION_ALPHABETS = 5  # of the 30 background alphabets, for split="alphabet"


class Omniglot(TaskFamily[LabelledTasks]):
    """Omniglot as few-shot tasks: images (1, size, size), ink 1 on ground 0.

    Args:
        root: folder with images_background.zip and images_evaluation.zip, or with those two folders extracted.
        split: "random" (seeded, 1100 / 100 / 423 characters, as the MAML paper has), "alphabet" (meta-test on the 20 evaluation
            alphabets as published; the last 5 background alphabets by name validate), or a folder of split files.
        rotations: characters turned by 90, 180 and 270 degrees are further classes of meta-training.
        size: pixels a side, averaged down from 105.
        seed: of the random split.
        download: fetch the official zips, checked by their checksums, where root does not hold them.

    Raises:
        DataError: no data in root, a truncated zip, a wrong checksum, other counts than Omniglot's.
        TaskError: a split that names a class twice.
    """

    def __init__(
        self,
        root: str | Path,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 15,
        *,
        split: str = "random",
        rotations: bool = True,
        size: int = 28,
        seed: int = 0,
        download: bool = False,
    ):
        if download:
            fetch(Path(root))
        images = read_images(Path(root), size)
        chosen = _split(images, split, seed)
        parts = []
        for name, classes in chosen.items():
            x, names = _stacked(images, classes)
            if name == "train" and rotations:
                x = torch.cat([torch.rot90(x, turns, (-2, -1)) for turns in range(4)])
                names = names + [f"{one}/rot{90 * turns:03d}" for turns in range(1, 4) for one in names]
            y = torch.arange(len(names)).repeat_interleave(DRAWERS)
            parts.append(LabelledTasks(x.flatten(0, 1), y, ways=ways, shots=shots, queries=queries, class_names=names))
        super().__init__(*parts)


def read_images(root: Path, size: int = 28) -> dict[str, Tensor]:
    """Every class 'part/Alphabet/characterNN' as uint8 (20, 1, size, size), ink 255, averaged down from 105x105."""
    found: dict[str, list[np.ndarray]] = {}
    for part, expected in PARTS.items():
        before = len(found)
        for name, content in _files(root, part):
            found.setdefault(name, []).append(_small(content, size, name))
        if len(found) - before != expected:
            raise _wrong(root, f"{expected} classes in {part}", f"{len(found) - before}")
    for name, images in found.items():
        if len(images) != DRAWERS:
            raise _wrong(root, f"{DRAWERS} images of every class", f"{len(images)} of {name}")
    return {name: torch.from_numpy(np.stack(images))[:, None] for name, images in sorted(found.items())}


def fetch(root: Path, url: str = URL) -> None:
    """Download the two official zips into root; written beside, checked by md5, then renamed. Those already there stay.

    Raises:
        DataError: a checksum that is not the official one; nothing is left behind.
    """
    root.mkdir(parents=True, exist_ok=True)
    for part, md5 in MD5.items():
        target, partial = root / f"{part}.zip", root / f"{part}.zip.part"
        if target.exists() or (root / part).is_dir():
            continue
        try:
            with urllib.request.urlopen(f"{url}{part}.zip", timeout=60) as response:
                content = response.read()
        except OSError as error:
            raise DataError(
                f"download={url}{part}.zip", expected="a reachable file", got=str(error), do="Fetch the two zips by hand into root."
            ) from error
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != md5:
            raise DataError(
                f"{part}.zip", expected=f"the official file, md5 {md5}", got=f"md5 {found}", do="Try again; nothing was kept of it."
            )
        partial.write_bytes(content)
        os.replace(partial, target)


def _files(root: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """('part/Alphabet/characterNN', PNG bytes) of every image of a part, sorted by name."""
    archive, folder = root / f"{part}.zip", root / part
    if folder.is_dir():
        for path in sorted(folder.glob("*/*/*.png")):
            yield f"{part}/{path.parent.parent.name}/{path.parent.name}", path.read_bytes()
        return
    if not archive.is_file():
        raise DataError(
            f"root={str(root)!r}",
            expected=f"{part}.zip or the folder {part}/ in it, from github.com/brendenlake/omniglot, folder python/",
            got="neither" if root.is_dir() else "no such folder",
            do="Put the two zips there, or pass download=True where a network is.",
        )
    try:
        with zipfile.ZipFile(archive) as opened:
            for name in sorted(entry for entry in opened.namelist() if entry.endswith(".png")):
                yield name.rpartition("/")[0], opened.read(name)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            str(archive), expected="a whole zip", got=f"one that is cut short or broken ({error})", do="Fetch it again."
        ) from error


def _small(content: bytes, size: int, name: str) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(name, expected="a PNG image", got=f"what does not decode ({error})", do="Fetch the data again.") from error
    if image.size != (SIDE, SIDE):
        raise DataError(name, expected=f"{SIDE}x{SIDE} pixels", got=f"{image.size[0]}x{image.size[1]}", do="Fetch the data again.")
    return 255 - np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX))


def _split(images: dict[str, Tensor], split: str, seed: int) -> Splits:
    if split == "random":
        train, validation, test = random_split(list(images), (1100, 100, 423), seed=seed)
        return {"train": train, "validation": validation, "test": test}
    if split == "alphabet":
        background = [name for name in images if name.startswith("images_background/")]
        held = sorted({name.split("/")[1] for name in background})[-VALIDATION_ALPHABETS:]
        return {
            "train": [name for name in background if name.split("/")[1] not in held],
            "validation": [name for name in background if name.split("/")[1] in held],
            "test": [name for name in images if name.startswith("images_evaluation/")],
        }
    full = {name.partition("/")[2]: name for name in images}
    chosen = read_split(split)
    for part, names in chosen.items():
        missing = [name for name in names if name not in full]
        if missing:
            raise DataError(
                f"split={split!r}", expected="names of Omniglot's classes", got=f"{missing[0]!r} in {part}", do="Mend that file."
            )
    return {part: [full[name] for name in names] for part, names in chosen.items()}


def _stacked(images: dict[str, Tensor], classes: list[str]) -> tuple[Tensor, list[str]]:
    return torch.stack([images[name] for name in classes]), [name.partition("/")[2] for name in classes]


def _wrong(root: Path, expected: str, got: str) -> DataError:
    return DataError(f"root={str(root)!r}", expected=expected, got=got, do="Fetch the data again: some of it is missing or foreign.")
