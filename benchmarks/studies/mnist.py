"""MNIST's files, for the studies."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import torch
from torch import Tensor


def mnist_files(part: str = "train") -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) in [0, 1] and labels of MNIST's idx files, from $MNIST, else ../shared/data/mnist."""
    root = Path(os.environ.get("MNIST", Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"))
    with gzip.open(root / f"{part}-images-idx3-ubyte.gz") as file:
        x = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8)
    with gzip.open(root / f"{part}-labels-idx1-ubyte.gz") as file:
        y = torch.frombuffer(bytearray(file.read()[8:]), dtype=torch.uint8)
    return x.reshape(-1, 1, 28, 28).float() / 255, y.long()
