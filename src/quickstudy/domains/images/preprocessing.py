"""Preprocessing: from an image file to what a learner was trained on. Stored with a run, so that predict does the same.

x  =  (pixels / 255 - mean) / std           pixels: resized to size x size, `channels` of them, inverted where `invert`
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.images.ground import Ground, ground_of, other_ground
from quickstudy.domains.images.image_file import open_image, upright
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing
from quickstudy.tasks.distribution.rows import as_float as as_float

AT_ONCE = 4096  # images per chunk when taking statistics


@checked
@dataclass(frozen=True)
class Preprocessing(RecordedPreprocessing):
    """How an image file becomes a tensor (channels, size, size).

    Args:
        size: pixels per side.
        channels: 1 for grey, 3 for colour.
        invert: white ground becomes 0, as Omniglot's ink is 1 on ground 0.
        mean, std: of each channel over the meta-training images in [0, 1]; None: not normalised.
        ground: that of the meta-training images, as they are after `invert`: "dark" or "light", see `domains.images.ground`.
            None: they have none in common, or "dark" with `invert`.

    Raises:
        ArgumentError: a size below 1; channels other than 1 and 3; mean or std without a number per channel; a std of 0 or less.

    Examples:
        >>> from PIL import Image
        >>> Image.new("RGB", (40, 30), "white").save("white.png")
        >>> preprocessing = qs.tasks.Preprocessing(size=28, channels=1, invert=True, mean=(0.5,), std=(0.25,))
        >>> pixels = preprocessing.read("white.png")
        >>> pixels.shape, preprocessing.apply(pixels).unique()
        (torch.Size([1, 28, 28]), tensor([-2.]))
    """

    asked: ClassVar[tuple[str, ...]] = ("channels", "size", "invert")

    size: int
    channels: int = 3
    invert: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    ground: Ground | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ArgumentError("size", expected="1 pixel or more", got=str(self.size), do="28 and 84 are common.")
        if self.channels not in (1, 3):
            raise ArgumentError("channels", expected="1 (grey) or 3 (colour)", got=str(self.channels), do="Give one of them.")
        if (self.mean is None) != (self.std is None) or any(
            len(v) != self.channels for v in (self.mean, self.std) if v is not None
        ):
            raise ArgumentError(
                "mean, std",
                expected=f"{self.channels} numbers each, one for each channel, or None for both",
                got=f"{self.mean} and {self.std}",
                do="Take both from the run, or neither.",
            )
        if self.std is not None and not min(self.std) > 0:
            raise ArgumentError("std", expected="numbers above 0", got=str(self.std), do="1 leaves a channel as it is.")

    def read(self, path: str | Path) -> Tensor:
        """The image file as uint8 (channels, size, size): upright by its EXIF, transparent parts white, shrunk and cropped.

        Raises:
            DataError: no such file, or one that is not an image or is cut short.
        """
        return self._pixels(open_image(path, near=self.size))

    def of_image(self, image: Any) -> Tensor:
        """The same for an opened PIL image, of any mode."""
        return self._pixels(upright(image))

    def apply(self, images: Tensor) -> Tensor:
        """uint8 pixels, or floats in [0, 1], (..., channels, height, width) as normalised float32.

        Raises:
            ShapeError: a number of channels other than `channels`.
        """
        if images.ndim < 3 or images.shape[-3] != self.channels:
            raise ShapeError(
                "images",
                expected=f"(..., {self.channels}, height, width)",
                got=str(tuple(images.shape)),
                do="Bring image files into this form with `preprocessing.read(path)`.",
            )
        x = as_float(images).to(torch.float32)
        if self.mean is None or self.std is None:
            return x
        mean, std = (torch.tensor(values, device=x.device, dtype=x.dtype)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std

    def fitted(self, images: Tensor) -> Preprocessing:
        """The same with the ground, and each channel's mean and std, of images (N, channels, height, width).

        A constant channel has std 1.
        """
        values = images.numel() / images.shape[1]
        parts = images.split(AT_ONCE)
        mean = torch.stack([as_float(part).double().sum((0, 2, 3)) for part in parts]).sum(0) / values
        about = [(as_float(part).double() - mean[:, None, None]).square().sum((0, 2, 3)) for part in parts]
        std = (torch.stack(about).sum(0) / values).sqrt()
        std = torch.where(std < 1e-4, torch.ones_like(std), std)
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()), ground=ground_of(images))

    def other_ground(self, images: Tensor) -> str | None:
        """A sentence on uint8 pixels, or floats in [0, 1], (N, channels, height, width) of the other ground than those of
        meta-training: white on black where it was black on white. None where nothing speaks for that.
        """
        return other_ground(images, self.trained_ground)

    @property
    def trained_ground(self) -> Ground | None:
        """The ground of the meta-training images, as far as it is known."""
        return self.ground or ("dark" if self.invert else None)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        plain = asdict(self)
        return plain | {key: None if plain[key] is None else list(plain[key]) for key in ("mean", "std")}

    def _pixels(self, image: Any) -> Tensor:
        """Each pixel of a shrunk image is the mean of those it covers. Images that are not square lose their longer ends."""
        from PIL import Image, ImageOps

        image = image.convert("L" if self.channels == 1 else "RGB")
        if image.size != (self.size, self.size):
            shrinks = self.size < min(image.size)
            how = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
            image = ImageOps.fit(image, (self.size, self.size), how)
        pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
        pixels = pixels[None] if self.channels == 1 else pixels.permute(2, 0, 1).contiguous()
        return 255 - pixels if self.invert else pixels
