"""Image transforms of meta-training: each image of each episode drawn anew, batched, on the data's device.

A transform is called as transform(images (N, channels, height, width) in [0, 1], generator) -> images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class RandomCrop:
    """A window of the image's own size out of the image padded by its edge: a shift by up to `padding` pixels."""

    padding: int = 4

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        n, _, height, width = images.shape
        padded = F.pad(images, (self.padding,) * 4, mode="replicate")
        top, left = torch.randint(2 * self.padding + 1, (2, n), generator=generator).to(images.device)
        rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
        channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        return padded[torch.arange(n, device=images.device)[:, None, None, None], channels, rows, columns]


@dataclass(frozen=True)
class RandomFlip:
    """Left and right exchanged, of half of the images. Not for writing."""

    probability: float = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        flips = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(flips.to(images.device)[:, None, None, None], images.flip(-1), images)


@dataclass(frozen=True)
class ColourJitter:
    """x -> (1 + c)(b x - m) + m, and a mix with the grey image: brightness b, contrast c about the mean m, saturation s.

    Each of b, 1 + c and s is uniform in [1 - amount, 1 + amount] for each image. The result is clipped to [0, 1].
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draws = (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1).to(images)
        brightness, contrast, saturation = 1 + self.brightness * draws[0], 1 + self.contrast * draws[1], draws[2]
        x = images * brightness
        mean = x.mean((1, 2, 3), keepdim=True)
        x = (x - mean) * contrast + mean
        grey = x.mean(1, keepdim=True)
        return (grey + (x - grey) * (1 + self.saturation * saturation)).clamp(0, 1)
