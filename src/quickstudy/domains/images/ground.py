"""The ground of pictures, dark or light, by their border: a learner of white strokes on black misreads black ones on white.

b_i  =  median of the border of picture i, in [0, 1]          dark: b < 0.35,  light: b > 0.65,  else neither

Pictures have a ground if nine of ten have the same one; photographs seldom do.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from quickstudy.tasks.distribution.rows import as_float

Ground = Literal["dark", "light"]
DARK, LIGHT = 0.35, 0.65
MOST = 0.9  # of the pictures
WIDTH = 14  # the border's share of the side: 1 / WIDTH
AT_ONCE = 4096  # pictures


def ground_of(images: Tensor) -> Ground | None:
    """The ground of images (N, channels, height, width), uint8 or in [0, 1]; None where they have no common one."""
    if not len(images):
        return None
    border = torch.cat([_border(as_float(part)) for part in images.split(AT_ONCE)])
    if float((border < DARK).float().mean()) >= MOST:
        return "dark"
    return "light" if float((border > LIGHT).float().mean()) >= MOST else None


def other_ground(images: Tensor, trained: Ground | None) -> str | None:
    """A sentence on images of clearly another ground than a learner was trained on; None where nothing speaks for that."""
    found = ground_of(images)
    if trained is None or found in (None, trained):
        return None
    return f"the {len(images)} pictures have a {found} ground, and the learner was trained on a {trained} one"


def _border(images: Tensor) -> Tensor:
    """The median brightness of the border of each image: (N,)."""
    height, width = images.shape[-2:]
    down, across = max(1, height // WIDTH), max(1, width // WIDTH)
    frame = torch.ones(height, width, dtype=torch.bool, device=images.device)
    frame[down : height - down, across : width - across] = False
    return images.mean(1)[:, frame].median(1).values
