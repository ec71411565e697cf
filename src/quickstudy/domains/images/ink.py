"""The ink of a drawing: what a round pen leaves along strokes, a shape filled in, and how both look on paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from quickstudy.domains.images.dice import Dice
from quickstudy.domains.images.style import Style

PEN_WIDTH, PEN_BLUR = 1.12, 0.52  # width of the line, standard deviation of its profile, in pixels of a canvas of 28
SWELLS = 4  # how often the width of a tapering pen may change along the strokes
PATTERN = 5  # nodes along a side of the pattern on textured paper


def raster(points: Tensor, ink: Tensor, size: int, pen: Tensor | float = 1.0, press: float = 1.0) -> Tensor:
    """The ink left by a round pen: (drawings, size, size) in 0..1.

        image[r, c]  =  min(1, press sum_p width_p ink_p g_p(r - y_p) g_p(c - x_p)),    g_p a normal density of deviation `blur_p`

    A pen's profile is a product over the two axes, so the sum over points is one matrix product for each drawing.

    Args:
        points: (drawings, points, 2), x and y as parts of the canvas.
        ink: (drawings, points), the length of line that each point stands for, as part of the canvas.
        size: pixels along a side.
        pen: factor on the width and the deviation of the pen, for all points or for each (drawings, points).
        press: factor on the ink.
    """
    centres = (torch.arange(size) + 0.5) / size
    width, blur = PEN_WIDTH / 28 * pen, PEN_BLUR / 28 * pen
    distance = (points[..., None] - centres) / (blur[..., None, None] if isinstance(blur, Tensor) else blur)
    profile = (-0.5 * distance.square()).clamp(min=-20).exp()  # the clamp avoids denormal numbers, which are slow
    amount = press * width / (2 * math.pi * blur**2)
    if isinstance(amount, Tensor):
        ink, amount = ink * amount, 1.0
    across, down = profile[:, :, 0], profile[:, :, 1] * ink[..., None]
    return (down.transpose(1, 2) @ across * amount).clamp(max=1)


def pens(drawings: int, points: int, style: Style, dice: Dice) -> Tensor | float:
    """The width of the pen at each point, (drawings, points), as a multiple of Omniglot's; one number where it is the same."""
    if not (style.pen_spread or style.taper):
        return style.pen
    log_width = math.log(style.pen) + dice.normal((drawings, 1), style.pen_spread)
    swell = F.interpolate(dice.normal((drawings, 1, SWELLS), style.taper), points, mode="linear", align_corners=True)[:, 0]
    return (log_width + swell).exp()


def interior(points: Tensor, size: int) -> Tensor:
    """The pixels within the closed path through the points, by the even-odd rule: (drawings, size, size) of 0 and 1."""
    centres = (torch.arange(size) + 0.5) / size
    x, y = points[..., 0], points[..., 1]
    next_x, next_y = x.roll(-1, 1), y.roll(-1, 1)
    crosses = (y[..., None] > centres) != (next_y[..., None] > centres)  # (drawings, points, rows)
    rise = torch.where(next_y == y, 1.0, next_y - y)[..., None]
    at = x[..., None] + (centres - y[..., None]) / rise * (next_x - x)[..., None]
    right = (at[..., None] > centres) & crosses[..., None]
    return (right.sum(1) % 2).float()


def on_paper(images: Tensor, style: Style, dice: Dice) -> Tensor:
    """The ink (drawings, size, size) on its ground: a mix of the two brightnesses, the paper's pattern, and noise."""
    if style.ink == (1.0, 1.0) and style.ground == (0.0, 0.0) and not (style.texture or style.noise):
        return images
    each = (len(images), 1, 1)
    ink, ground = dice.uniform(each, *style.ink), dice.uniform(each, *style.ground)
    pattern = dice.normal((len(images), 1, PATTERN, PATTERN), style.texture)
    ground = ground + F.interpolate(pattern, images.shape[1:], mode="bicubic", align_corners=True)[:, 0]
    return (ground + (ink - ground) * images + dice.normal(tuple(images.shape), style.noise)).clamp(0, 1)
