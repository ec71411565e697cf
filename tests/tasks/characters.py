"""A small Omniglot of our own, in the layout of the real one: two parts, alphabets, characters, 20 drawings of 105x105."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

ALPHABETS = {"images_background": [f"Alpha{n}" for n in range(7)], "images_evaluation": ["Omega0", "Omega1"]}
CHARACTERS, DRAWERS = 3, 20  # of each alphabet, of each character
CLASSES = {part: CHARACTERS * len(names) for part, names in ALPHABETS.items()}

MARKS = {"images_background": 0, "images_evaluation": 9}


def names(part: str) -> list[str]:
    return [f"{alphabet}/character{1 + number:02d}" for alphabet in ALPHABETS[part] for number in range(CHARACTERS)]


def drawing(character: int, drawer: int, side: int = 105, mark: int = 0) -> bytes:
    """White paper with a black square of 15 pixels: its place down the page is the character, its place along it the drawer.

    A small mark at the bottom, at this place along it, is the part's: no drawing is in two parts, or is another one turned.
    """
    paper = np.ones((side, side), dtype=bool)
    paper[3 * character : 3 * character + 15, 4 * drawer : 4 * drawer + 15] = False
    paper[-3:, mark : mark + 3] = False
    file = BytesIO()
    Image.fromarray(paper).save(file, "PNG")
    return file.getvalue()


def files() -> dict[str, bytes]:
    """Path in the archive to content."""
    content = {}
    for part in ALPHABETS:
        for number, name in enumerate(names(part)):
            for drawer in range(DRAWERS):
                square = drawing(number, drawer, mark=MARKS[part])
                content[f"{part}/{name}/{number + 1:04d}_{drawer + 1:02d}.png"] = square
    return content


def write_zips(root: Path, content: dict[str, bytes]) -> Path:
    for part in ALPHABETS:
        with zipfile.ZipFile(root / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                if name.startswith(part):
                    archive.writestr(name, data)
    return root


def write_tree(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root
