"""Rotations: each class of images, turned, is a further class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, Made, named

QUARTERS = (90, 180, 270)


@checked
@dataclass(frozen=True)
class Rotations(ClassAugmentation):
    """Add each class rotated by 90, 180 and 270 degrees as a further class. Memory holds four times the images.

    Source: Santoro et al., "Meta-learning with memory-augmented neural networks", ICML 2016, section 4.1.

    Args:
        angles: some of 90, 180 and 270, anticlockwise: (180,) where a quarter turn is no other class. By any other angle an image
            would leave its frame.

    Raises:
        ArgumentError: another angle, one twice, or none.

    Examples:
        >>> images, labels = torch.rand(6, 1, 8, 8), torch.tensor([0, 0, 0, 1, 1, 1])
        >>> x, y, names = qs.tasks.Rotations().classes(images, labels, ["alpha", "beta"])
        >>> len(x), names[2:4]
        (24, ['alpha/rot090', 'beta/rot090'])
    """

    angles: Sequence[int] = QUARTERS

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles", tuple(self.angles))
        if not self.angles or len(set(self.angles)) < len(self.angles) or not set(self.angles) <= set(QUARTERS):
            raise ArgumentError(
                "Rotations(angles)",
                expected="some of 90, 180 and 270, each once: by any other angle the corners of an image leave its frame",
                got=repr(self.angles),
                do="RandomAffine(degrees=) in `transform` turns images a little, within their classes.",
            )

    def __repr__(self) -> str:
        return "Rotations()" if self.angles == QUARTERS else f"Rotations(angles={self.angles})"

    def made(self, x: Tensor, y: Tensor, names: Sequence[str]) -> Made:
        """Images (N, channels, side, side) with labels and names -> the turned ones, named 'class/rot090' and so on.

        Raises:
            ShapeError: images that are not square.
        """
        if x.ndim != 4 or x.shape[-1] != x.shape[-2]:
            raise ShapeError(
                named(self),
                expected="square images (N, channels, side, side)",
                got=f"x of shape {tuple(x.shape)}",
                do="Leave Rotations() out for what is no image.",
            )
        turned = torch.cat([torch.rot90(x, angle // 90, (-2, -1)) for angle in self.angles])
        labels = torch.cat([y + turn * len(names) for turn in range(len(self.angles))])
        rows = torch.arange(len(y)).repeat(len(self.angles))
        return Made(turned, labels, [_turned(name, angle) for angle in self.angles for name in names], rows)

    def counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {_turned(name, angle): count for angle in self.angles for name, count in counts.items()}


def _turned(name: str, angle: int) -> str:
    return f"{name}/rot{angle:03d}"
