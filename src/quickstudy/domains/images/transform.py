"""Image transforms for meta-training: random for each image of each episode, batched, on the data's device.

A transform is called as transform(images (N, channels, height, width) in [0, 1], generator) -> images. All randomness comes from
a CPU generator: one seed gives the same images on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, Probability, checked
from quickstudy.errors import ArgumentError

Transform = Callable[[Tensor, torch.Generator], Tensor]
ANGLES = 19  # at which the farthest move of `RandomAffine` is looked for


def left(argument: str, got: str, do: str) -> ArgumentError:
    """The error of a move by which an image leaves its frame."""
    return ArgumentError(argument, expected="a move that keeps the centre of every image in its frame", got=got, do=do)


@checked
@dataclass(frozen=True)
class RandomCrop:
    """Pad each image by its edge and crop a random window of the original size: a shift by up to `padding` pixels.

    Raises:
        ArgumentError: padding below 0, or of more than half a side, by which the centre of an image could leave its frame.

    Examples:
        >>> images = torch.rand(16, 3, 32, 32)
        >>> qs.tasks.RandomCrop(padding=4)(images, torch.Generator().manual_seed(0)).shape
        torch.Size([16, 3, 32, 32])
    """

    padding: NonNegativeInt = 4

    def check(self, shape: Sequence[int]) -> None:
        """Raise ArgumentError if images (channels, height, width) could leave their frame."""
        if 2 * self.padding > min(shape[-2:]):
            raise left(f"RandomCrop(padding={self.padding})", f"images of {shape[-2]} x {shape[-1]}", "Lower `padding`.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        n, _, height, width = images.shape
        self.check(images.shape)
        padded = F.pad(images, (self.padding,) * 4, mode="replicate")
        top, left = torch.randint(2 * self.padding + 1, (2, n), generator=generator).to(images.device)
        rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
        channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        return padded[torch.arange(n, device=images.device)[:, None, None, None], channels, rows, columns]


@checked
@dataclass(frozen=True)
class RandomFlip:
    """Flip each image horizontally with this `probability`. Unsuitable for handwriting.

    Raises:
        ArgumentError: a probability outside [0, 1].

    Examples:
        >>> images = torch.rand(16, 3, 32, 32)
        >>> flipped = qs.tasks.RandomFlip(probability=1.0)(images, torch.Generator().manual_seed(0))
        >>> torch.equal(flipped, images.flip(-1))
        True
    """

    probability: Probability = 0.5

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        flips = torch.rand(len(images), generator=generator) < self.probability
        return torch.where(flips.to(images.device)[:, None, None, None], images.flip(-1), images)


@checked
@dataclass(frozen=True)
class ColourJitter:
    """x -> c (b x - m) + m, then a mix with the grey image: brightness b, contrast c about the mean m, saturation s.

    Each of b, c and s is uniform in [1 - amount, 1 + amount] for each image. The result is clipped to [0, 1]. Grey images have no
    saturation to change.

    Raises:
        ArgumentError: an amount outside [0, 1].

    Examples:
        >>> images = torch.full((4, 3, 8, 8), 0.5)
        >>> brighter = qs.tasks.ColourJitter(brightness=0.2, contrast=0, saturation=0)(images, torch.Generator().manual_seed(0))
        >>> bool((brighter - 0.5).abs().max() <= 0.1)
        True
    """

    brightness: float = 0.4
    contrast: NonNegativeFloat = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                got = f"{name}={getattr(self, name)}"
                raise ArgumentError(f"ColourJitter({name})", expected="0 to 1", got=got, do="0.4 is common, 0 leaves it.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draws = (2 * torch.rand(3, len(images), 1, 1, 1, generator=generator) - 1).to(images)
        b, c, s = 1 + self.brightness * draws[0], 1 + self.contrast * draws[1], 1 + self.saturation * draws[2]
        x = images * b
        m = x.mean((1, 2, 3), keepdim=True)
        x = c * (x - m) + m
        grey = x.mean(1, keepdim=True)
        return (grey + s * (x - grey)).clamp(0, 1)


@checked
@dataclass(frozen=True)
class RandomResizedCrop:
    """Crop a random window of `smallest` to 1 of the image's area and enlarge it to the original size: zoom and shift.

    Raises:
        ArgumentError: `smallest` outside (0, 1].

    Examples:
        >>> images = torch.rand(16, 3, 32, 32)
        >>> qs.tasks.RandomResizedCrop(smallest=0.5)(images, torch.Generator().manual_seed(0)).shape
        torch.Size([16, 3, 32, 32])
    """

    smallest: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.smallest <= 1:
            got = str(self.smallest)
            raise ArgumentError("RandomResizedCrop(smallest)", expected="a share above 0, at most 1", got=got, do="Try 0.5.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        area, across, down = torch.rand(3, len(images), generator=generator).to(images)
        side = (self.smallest + (1 - self.smallest) * area).sqrt()
        zero = torch.zeros_like(side)
        shift_x, shift_y = ((2 * u - 1) * (1 - side) for u in (across, down))
        window = torch.stack([side, zero, shift_x, zero, side, shift_y], 1).view(-1, 2, 3)
        grid = F.affine_grid(window, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@checked
@dataclass(frozen=True)
class RandomAffine:
    """Turn, shear, stretch and shift each image about its centre: what another hand, or another camera, does to it.

        x'(p)  =  x(A p + t),     A  =  [[s_x, h], [0, s_y]] R(angle),     p in [-1, 1]^2

    angle, h, ln s_x, ln s_y and t are uniform between minus and plus their argument. Outside the image its edge is repeated.

    Args:
        degrees: of the angle, at most 180.
        shear: of h.
        scale: of ln s: 0.1 is from 90 to 110 % in each direction.
        shift: of t, as a share of half a side.

    Raises:
        ArgumentError: an argument below 0, or more than 180 degrees; a move by which the centre of an image could leave
            its frame.

    Examples:
        >>> images = torch.rand(16, 1, 28, 28)
        >>> qs.tasks.RandomAffine(degrees=15)(images, torch.Generator().manual_seed(0)).shape
        torch.Size([16, 1, 28, 28])
    """

    degrees: NonNegativeFloat = 10.0
    shear: NonNegativeFloat = 0.1
    scale: NonNegativeFloat = 0.1
    shift: NonNegativeFloat = 0.1

    def __post_init__(self) -> None:
        if self.degrees > 180:
            got = f"{self.degrees:g}"
            raise ArgumentError("RandomAffine(degrees)", expected="at most 180", got=got, do="180 is any angle.")
        if (far := self._farthest()) > 1 + 1e-6:
            got = f"one that could bring it to {far:.2f} of half a side"
            raise left(repr(self), got, "Lower `shift`, `scale` or `shear`.")

    def _farthest(self) -> float:
        """The largest distance, in half sides, from the centre of the frame to that of the image, or the other way round."""
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 5)
        h, s_x, s_y, t_x, t_y = (signs * torch.tensor([self.shear, self.scale, self.scale, self.shift, self.shift])).T
        s_x, s_y = s_x.exp(), s_y.exp()
        down = t_y / s_y
        across = (t_x - h * down) / s_x  # S^-1 t, before the turn
        angles = torch.linspace(0, math.radians(self.degrees), ANGLES)[:, None]
        turned = torch.stack([angles.cos() * across + angles.sin() * down, angles.cos() * down - angles.sin() * across])
        return max(float(turned.abs().max()), self.shift)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draws = (2 * torch.rand(6, len(images), generator=generator) - 1).to(images)
        angle, h = math.radians(self.degrees) * draws[0], self.shear * draws[1]
        s_x, s_y = (self.scale * draws[2]).exp(), (self.scale * draws[3]).exp()
        t_x, t_y = self.shift * draws[4], self.shift * draws[5]
        cos, sin = angle.cos(), angle.sin()
        a = torch.stack([s_x * cos + h * sin, h * cos - s_x * sin, t_x, s_y * sin, s_y * cos, t_y], 1)
        grid = F.affine_grid(a.view(-1, 2, 3), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@checked
@dataclass(frozen=True)
class Resize:
    """Resize the images of meta-training only. (For all three splits give the source `size=` instead.)

    Raises:
        ArgumentError: a size below 1.

    Examples:
        >>> images = torch.rand(16, 3, 32, 32)
        >>> qs.tasks.Resize(20)(images, torch.Generator().manual_seed(0)).shape
        torch.Size([16, 3, 20, 20])
    """

    size: int

    resizes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ArgumentError("Resize(size)", expected="1 pixel or more", got=str(self.size), do="84 is common.")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
