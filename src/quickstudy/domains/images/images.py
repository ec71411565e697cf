"""All images of some files as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.progress import WORTH_A_BAR, bar


def read_all(files: Sequence[Path], preprocessing: Preprocessing, what: str = "images") -> Tensor:
    """All images as uint8 (N, channels, size, size)."""
    images = torch.empty(len(files), preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
    with bar(len(files), f"reading {what}", len(files) >= WORTH_A_BAR) as advance:
        for index, path in enumerate(files):
            images[index] = preprocessing.read(path)
            advance()
    return images
