"""Rows of labelled data: gathered as episodes are drawn, as floats, and fit for the transforms that will see them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from quickstudy.errors import UnsupportedError
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.lazy_rows import LazyRows


def check_transform(transform: Sequence[Transform], x: Tensor | LazyRows) -> None:
    """Raise UnsupportedError if there is a transform and x (N, *feature) holds no images.

    A transform may have a method `check(shape)` of images (channels, height, width), which raises ArgumentError.
    """
    if transform and (x.ndim != 4 or not (x.dtype == torch.uint8 or x.is_floating_point())):
        raise UnsupportedError(
            f"transform=[{transform[0]!r}]",
            expected="images (N, channels, height, width) to transform",
            got=f"x of shape {tuple(x.shape)} and dtype {x.dtype}",
            do="Leave `transform` out for what is no image; `augment=[FeatureNoise()]` is for numbers.",
        )
    for one in transform:
        if getattr(one, "resizes", False):  # those behind it see another size
            break
        if hasattr(one, "check"):
            one.check(x.shape[1:])


def gathered(x: Tensor | LazyRows, rows: Tensor) -> Tensor:
    """x[rows] for rows of any shape, on x's device. index_select copies row by row, several times faster than x[rows]."""
    if isinstance(x, LazyRows):
        return x.gathered(rows)
    return x.index_select(0, rows.flatten().to(x.device)).view(*rows.shape, *x.shape[1:])


def selected(x: Tensor | LazyRows, rows: Tensor) -> Tensor | LazyRows:
    """x[rows]; rows that are read as they are drawn stay so."""
    return x.subset(rows) if isinstance(x, LazyRows) else gathered(x, rows)


def as_float(x: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; everything else unchanged."""
    return x.to(torch.float32).div_(255) if x.dtype == torch.uint8 else x
