"""Images given as arrays: identify the axes, and bring the pixels to uint8 and to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.progress import WORTH_A_BAR, bar


def as_images(
    x: Tensor | Sequence[Any], size: int | None, channels: PositiveInt | None, invert: bool
) -> tuple[Tensor, Preprocessing]:
    """Images as uint8 (N, channels, size, size), and the preprocessing that does the same to a file.

    Args:
        x: uint8, uint16 or floats in [0, 1]: (N, height, width), (N, channels, height, width) or (N, height, width, channels);
            or a sequence of such images, which may differ in size if `size` is given.
        size, channels: None: unchanged.

    Raises:
        ShapeError: other shapes; images that are not square, without a `size`.
        ArgumentError: floats outside [0, 1].
    """
    pixels = [_channels_first(one) for one in x] if not isinstance(x, Tensor) else _channels_first(x, batched=True)
    first = pixels[0]
    height, width = first.shape[-2:]
    if size is None and height != width:
        raise ShapeError(
            "x",
            expected="square images, or a `size` to bring them to",
            got=f"images of {height} x {width}",
            do=f"Give for example size={min(height, width)}.",
        )
    reads = Preprocessing(height if size is None else size, first.shape[0] if channels is None else channels, invert)
    form = (reads.channels, reads.size, reads.size)
    if isinstance(pixels, Tensor) and pixels.shape[1:] == form:
        return 255 - pixels if invert else pixels, reads
    images = torch.empty(len(pixels), *form, dtype=torch.uint8)
    with bar(len(pixels), "resizing images", len(pixels) >= WORTH_A_BAR) as advance:
        for index, one in enumerate(pixels):
            images[index] = reads.of_image(_picture(one))
            advance()
    return images, reads


def _channels_first(x: Any, batched: bool = False) -> Tensor:
    """uint8 (channels, height, width), or a batch of it."""
    x = _bytes(x if isinstance(x, Tensor) else torch.from_numpy(np.require(x, requirements=["C", "W"])))
    shape = x.shape[1:] if batched else x.shape
    if len(shape) == 2:
        return x.unsqueeze(-3)
    if len(shape) == 3 and shape[0] in (1, 3):
        return x
    if len(shape) == 3 and shape[-1] in (1, 3):
        return x.movedim(-1, -3).contiguous()
    raise ShapeError(
        "x",
        expected="images (height, width), (channels, height, width) or (height, width, channels), of 1 or 3 channels",
        got=f"images of shape {tuple(shape)}",
        do="Leave out `size`, `channels` and `invert` for what is no image.",
    )


def _bytes(x: Tensor) -> Tensor:
    if x.dtype == torch.uint8:
        return x
    if x.dtype == torch.uint16:
        return (x.to(torch.float32) / 257).round().to(torch.uint8)
    low, high = (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)
    if x.is_floating_point() and low >= 0 and high <= 1:
        return (x * 255).round().to(torch.uint8)
    if not x.is_floating_point() and low >= 0 and high <= 255:
        return x.to(torch.uint8)
    raise ArgumentError(
        "x",
        expected="images of floats in [0, 1] or of bytes 0..255",
        got=f"{x.dtype} from {low:g} to {high:g}",
        do="Scale them; normalisation is done here, from the meta-training images.",
    )


def _picture(pixels: Tensor) -> Any:
    """uint8 (channels, height, width) as a PIL image."""
    from PIL import Image

    array = pixels[0].numpy() if len(pixels) == 1 else pixels.movedim(0, -1).numpy()
    return Image.fromarray(np.ascontiguousarray(array))
