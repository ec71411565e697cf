"""Small images that a test draws: the red of an image says its class."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from tests import needs
from torch import Tensor

from quickstudy.tasks import TaskFamily

CLASSES = [f"class{number:02d}" for number in range(10)]
SMALL = {"ways": 2, "shots": 1, "queries": 2, "size": 12}
LEAST = {"ways": 2, "shots": 1, "queries": 2}
SPLITS = needs.DATA / "splits"


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (16, 14), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    image.putpixel((1, 1), (255, 255, 255))
    image.convert(mode).save(path)
    return path


def colour_of(label: int) -> tuple[int, int, int]:
    return 20 * label + 10, 100, 30


def class_of(x: Tensor) -> Tensor:
    """The class that the red of images (..., 3, 12, 12) in [0, 1] says."""
    return ((255 * x[..., 0, 6, 6] - 10) / 20).round().long()


def all_names(family: TaskFamily) -> list[str]:
    return [name for part in family.classes.values() for name in part]


def draw_folder(root: Path) -> Path:
    """Ten classes of five to six images, of several sizes."""
    for label, name in enumerate(CLASSES):
        for number in range(5 + label % 2):
            draw(root / name / f"{number}.png", colour_of(label), size=(14 + number, 16))
    return root


class Pictures(torch.utils.data.Dataset):
    """Ten classes of five images that keep count of what was decoded."""

    def __init__(self, mode: str = "RGB", size: tuple[int, int] = (20, 20), **attributes: object):
        self.decoded: list[int] = []
        self.mode, self.size = mode, size
        vars(self).update(attributes)

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        self.decoded.append(index)
        return Image.new("RGB", self.size, colour_of(index // 5)).convert(self.mode), index // 5


TARGETS = [index // 5 for index in range(50)]
