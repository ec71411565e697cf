"""Tables that a test makes: rows of groups in time, and a stand-in for a data set of the `datasets` library."""

from __future__ import annotations

import numpy as np
from PIL import Image
from tests.domains.images.pictures import CLASSES, colour_of


def groups(n: int = 12, rows: int = 9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N, 2) = (time, group), y (N,) = 2 time, and the name of the group."""
    owner = np.repeat([f"user{number}" for number in range(n)], rows)
    time = np.tile(np.arange(rows), n)
    return np.stack([time, np.repeat(np.arange(n), rows)], 1).astype(float), time * 2.0, owner


class ClassLabel:
    names = CLASSES


class Table:
    """A `datasets.Dataset`, as far as the source may look: columns by name, rows by index. It counts the images decoded."""

    column_names = ["image", "label"]
    features = {"label": ClassLabel()}

    def __init__(self, first: int = 0, last: int = 50):
        self.rows = range(first, last)
        self.decoded = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: object) -> object:
        if key == "label":
            return [row // 5 for row in self.rows]
        self.decoded += 1
        row = self.rows[key]
        return {"image": Image.new("RGB", (20, 20), colour_of(row // 5)), "label": row // 5}
