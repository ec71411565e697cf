"""All images of some files as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.progress import reading


def read_all(files: Sequence[Path], preprocessing: Preprocessing, what: str = "images") -> Tensor:
    """All images as uint8 (N, channels, size, size)."""
    images = torch.empty(len(files), preprocessing.channels, preprocessing.size, preprocessing.size, dtype=torch.uint8)
    for index, path in enumerate(reading(files, what)):
        images[index] = preprocessing.read(path)
    return images
