"""Preprocessing: from an image file to what a learner was trained on. Stored with a run, so that predict does the same.

x  =  (pixels / 255 - mean) / std           pixels: resized to size x size, `channels` of them, inverted where `invert`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 100_000_000  # pixels of a file: more are no photograph but a bomb


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes a tensor (channels, size, size).

    Args:
        size: pixels a side.
        channels: 1 for grey, 3 for colour.
        invert: white ground becomes 0, as Omniglot's ink is 1 on ground 0.
        mean, std: of each channel over the meta-training images in [0, 1]; None: not normalised.
    """

    size: int
    channels: int = 3
    invert: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ArgumentError("size", expected="1 pixel or more", got=str(self.size), do="28 and 84 are common.")
        if self.channels not in (1, 3):
            raise ArgumentError("channels", expected="1 (grey) or 3 (colour)", got=str(self.channels), do="Give one of them.")

    def read(self, path: str | Path) -> Tensor:
        """The image file as uint8 (channels, size, size): upright by its EXIF, transparent parts white, shrunk and cropped.

        Raises:
            DataError: no such file, or one that is no image or is cut short.
        """
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            with Image.open(path) as opened:
                if opened.width * opened.height > LARGEST:
                    raise ValueError(f"{opened.width} x {opened.height} pixels")
                image = ImageOps.exif_transpose(opened)
                image.load()
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(
                str(path),
                expected="an image that can be read",
                got="no such file" if not Path(path).exists() else " ".join(str(error).split())[:200],
                do="Remove it from the folder, or save it again as PNG or JPEG.",
            ) from error
        return self.of_image(image)

    def of_image(self, image: Image.Image) -> Tensor:
        """The same for an opened image."""
        from PIL import Image, ImageOps

        if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bits: the range that the image uses
            values = np.asarray(image, dtype=np.float64)
            span = max(float(values.max() - values.min()), 1.0)
            image = Image.fromarray(((values - values.min()) / span * 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        image = image.convert("L" if self.channels == 1 else "RGB")
        shrinks = self.size < min(image.size)
        image = ImageOps.fit(image, (self.size, self.size), Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
        pixels = pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1).contiguous()
        return 255 - pixels if self.invert else pixels

    def apply(self, images: Tensor) -> Tensor:
        """uint8 pixels, or floats in [0, 1], (..., channels, size, size) as normalised float32."""
        x = images.to(torch.float32) / 255 if images.dtype == torch.uint8 else images
        if self.mean is None or self.std is None:
            return x
        mean, std = (torch.tensor(values, device=x.device, dtype=x.dtype)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std

    def fitted(self, images: Tensor) -> Preprocessing:
        """The same with mean and std of each channel over uint8 images (N, channels, size, size)."""
        parts = [part.to(torch.float64) / 255 for part in images.split(4096)]
        values = len(images) * images.shape[-1] * images.shape[-2]
        mean = sum((part.sum((0, 2, 3)) for part in parts), torch.zeros(images.shape[1], dtype=torch.float64)) / values
        square = sum((part.square().sum((0, 2, 3)) for part in parts), torch.zeros_like(mean)) / values
        std = (square - mean**2).clamp_min(1e-8).sqrt()
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"size": self.size, "channels": self.channels, "invert": self.invert, "mean": self.mean, "std": self.std}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Preprocessing:
        """Back from plain data.

        Raises:
            ArgumentError: another key, or a value of a wrong type.
        """
        try:
            mean, std = (None if given.get(key) is None else tuple(float(v) for v in given[key]) for key in ("mean", "std"))
            size, channels = int(given["size"]), int(given["channels"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError(
                "preprocessing",
                expected="size, channels, invert, mean and std",
                got=str(dict(given))[:100],
                do="Take the file that the run wrote.",
            ) from error
        return cls(size, channels, bool(given.get("invert", False)), mean, std)
