"""Augmentation: random views of the same example, for learning without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, Probability, checked


@checked
@dataclass(frozen=True)
class Augmentation:
    """A random change of each example that keeps its content. All randomness comes from the generator.

        images (examples, channels, height, width):  x'(p) = x(A p),   A = translation * rotation * shear * scale
        anything:                                    noise of `noise` standard deviations of the batch

    Scale and translation together are a random resized crop. Nothing is mirrored unless `flip` is set: a mirrored character
    is another one.

    Args:
        scale: the object's size varies by a factor of 1 / (1 + scale) to 1 + scale, its aspect by a fifth of that.
        rotation: largest angle, in degrees.
        shear: largest shear.
        translation: largest shift, as a share of the image.
        erase: side of the square that is replaced by the image's mean, as a share of the image's; 0: none.
        jitter: largest change of brightness and contrast, as a share.
        noise: standard deviation, relative to the batch's.
        flip: mirror half of the images left to right.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, section 3; the
    ranges are ours, for small grey images.

    Examples:
        >>> from quickstudy.domains.images import Augmentation
        >>> images, generator = torch.rand(8, 1, 28, 28), torch.Generator().manual_seed(0)
        >>> first, second = (Augmentation(flip=True)(images, generator) for _ in range(2))
        >>> first.shape, torch.equal(first, second)
        (torch.Size([8, 1, 28, 28]), False)
    """

    scale: float = 0.3
    rotation: float = 20.0
    shear: float = 0.3
    translation: float = 0.15
    erase: Probability = 0.3
    jitter: NonNegativeFloat = 0.0
    noise: NonNegativeFloat = 0.1
    flip: bool = False

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x (examples, *feature), with an independent random change of each example."""
        if x.ndim == 4:
            x = self._erase(self._jitter(self._move(x, generator), generator), generator)
        return x + self.noise * x.std() * _normal(x, x.shape, generator) if self.noise else x

    def _move(self, x: Tensor, generator: torch.Generator) -> Tensor:
        n = len(x)
        angle = _uniform(x, n, self.rotation * math.pi / 180, generator)
        shear = _uniform(x, n, self.shear, generator)
        size = _uniform(x, n, math.log1p(self.scale), generator)
        aspect = _uniform(x, n, math.log1p(self.scale) / 5, generator)
        shift = 2 * torch.stack([_uniform(x, n, self.translation, generator) for _ in range(2)], 1)
        mirror = torch.where(_uniform(x, n, 1.0, generator) < 0, -1.0, 1.0).to(x) if self.flip else torch.ones_like(size)
        wide, high = torch.exp(size + aspect) * mirror, torch.exp(size - aspect)
        cos, sin = angle.cos(), angle.sin()
        rows = torch.stack([cos * wide, (shear * cos - sin) * high, sin * wide, (shear * sin + cos) * high], 1)
        grid = F.affine_grid(torch.cat([rows.reshape(n, 2, 2), shift[:, :, None]], 2), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _jitter(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if not self.jitter:
            return x
        contrast, brightness = (_uniform(x, len(x), self.jitter, generator)[:, None, None, None] for _ in range(2))
        mean = x.mean((1, 2, 3), keepdim=True)
        return (x - mean) * (1 + contrast) + mean * (1 + brightness)

    def _erase(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if not self.erase:
            return x
        down, across = (torch.linspace(-1, 1, side, device=x.device, dtype=x.dtype) for side in x.shape[2:])
        row, column = (_uniform(x, len(x), 1.0, generator)[:, None] for _ in range(2))
        inside = ((down - row).abs() < self.erase)[:, None, :, None] & ((across - column).abs() < self.erase)[:, None, None, :]
        return torch.where(inside, x.mean((2, 3), keepdim=True), x)


def _uniform(like: Tensor, n: int, half: float, generator: torch.Generator) -> Tensor:
    """n numbers, uniform in [-half, half]."""
    return ((2 * torch.rand(n, generator=generator) - 1) * half).to(like)


def _normal(like: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator).to(like)
