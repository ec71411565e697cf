"""Characters that quickstudy draws itself: a class is a stroke program, an example is one jittered drawing of it.

    write_programs    what a class is: strokes made of pieces that run straight or turn, and where each stroke starts
    redraw            one hand's version of it: every angle, length and position a little off, then size, slant and place
    raster            the ink that a round pen leaves along the strokes, antialiased

The constants were set by eye and by counting (ink, extent, parts and holes of a character) beside the *training* characters
of Omniglot; no image of it is in the package. Angles are in radians, lengths in units of a stroke until `redraw` scales the
whole character to pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

STROKES = 5  # most strokes in a character
PIECES = 5  # most pieces in a stroke
STEPS = 48  # points along a stroke: closer together than two pen radii for a stroke as long as 50 pixels

STROKE_COUNT = (0.28, 0.30, 0.22, 0.12, 0.08)  # chance of 1, 2, ... strokes
PIECE_COUNT = (0.35, 0.25, 0.20, 0.12, 0.08)  # chance of 1, 2, ... pieces in a stroke

PEN_BLUR = 0.5  # standard deviation of the pen's profile, in pixels of a 28-pixel canvas
PEN_WIDTH = 0.95  # width of the line, in pixels of a 28-pixel canvas
CHUNK = 512  # drawings rasterised at a time: their pen profiles stay in the cache

DEGREE = math.pi / 180


@dataclass(frozen=True)
class Programs:
    """Stroke programs of many classes.

    The hand starts stroke s with `heading` and draws its pieces one after another. At the start of a piece it turns by
    `corner` on the spot, along the piece it turns steadily by `turn`: 0 is a straight line, 2 pi a circle.
    """

    heading: Tensor  # (classes, strokes)
    length: Tensor  # (classes, strokes)
    corner: Tensor  # (classes, strokes, pieces)
    turn: Tensor  # (classes, strokes, pieces)
    share: Tensor  # (classes, strokes, pieces)    part of the stroke's length; sums to 1
    used: Tensor  # (classes, strokes)             1 for a stroke that is drawn, 0 for padding
    anchor: Tensor  # (classes, strokes)           the earlier stroke where this one is placed
    at: Tensor  # (classes, strokes)               where along the anchor, 0..1
    hold: Tensor  # (classes, strokes)             which of its own points lies there, 0..1
    offset: Tensor  # (classes, strokes, 2)        distance from there; 0 where the strokes touch
    size: Tensor  # (classes,)                     longer side of the character, as part of the canvas


def draw_characters(classes: int, examples: int, *, generator: Generator, size: int = 28) -> Tensor:
    """`examples` drawings of each of `classes` random characters: uint8 (classes, examples, 1, size, size), ink 255 on 0."""
    programs = write_programs(classes, generator)
    points, ink = redraw(programs, examples, generator)
    images = raster(points.flatten(0, 1) * size, ink.flatten(0, 1) * size, size)
    return images.view(classes, examples, 1, size, size)


def write_programs(classes: int, generator: Generator) -> Programs:
    """Random stroke programs, one for each class."""
    per_stroke, per_piece = (classes, STROKES), (classes, STROKES, PIECES)
    draw = _Dice(generator)

    axis = draw.integers(per_stroke, 4) * 90 * DEGREE + draw.normal(per_stroke, 7 * DEGREE)
    heading = torch.where(draw.chance(per_stroke, 0.65), axis, draw.uniform(per_stroke, 0, 2 * math.pi))

    pieces = draw.counts(per_stroke, PIECE_COUNT)
    drawn = torch.arange(PIECES) < pieces[..., None]
    bend = draw.sign(per_piece) * draw.uniform(per_piece, 40 * DEGREE, 280 * DEGREE)
    turn = torch.where(draw.chance(per_piece, 0.5), bend, draw.normal(per_piece, 5 * DEGREE))
    fold = draw.sign(per_piece) * draw.uniform(per_piece, 50 * DEGREE, 150 * DEGREE)
    corner = torch.where(draw.chance(per_piece, 0.55), fold, 0.0)
    corner[..., 0] = 0
    share = draw.uniform(per_piece, 0.3, 1.0) * drawn
    length = draw.uniform(per_stroke, 0.35, 1.0) * share.sum(-1)
    share = share / share.sum(-1, keepdim=True)
    dot = draw.chance(per_stroke, 0.12)
    dot[:, 0] = False
    length = torch.where(dot, 0.08, length)

    used = torch.arange(STROKES) < draw.counts((classes,), STROKE_COUNT)[:, None]
    earlier = (draw.uniform(per_stroke, 0, 1) * torch.arange(STROKES)).long()
    touch = draw.chance(per_stroke, 0.65) & ~dot
    ends = draw.integers(per_stroke, 3) / 2
    at = torch.where(draw.chance(per_stroke, 0.6), ends, draw.uniform(per_stroke, 0, 1))
    hold = torch.where(draw.chance(per_stroke, 0.3), 0.5, 0.0)
    offset = torch.where(touch[..., None], 0.0, draw.normal((*per_stroke, 2), 0.45))
    size = draw.normal((classes,), 0.105).add(0.64).clamp(0.3, 0.9)
    return Programs(heading, length, corner, turn, share, used.float(), earlier, at, hold, offset, size)


def redraw(programs: Programs, examples: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Jittered drawings of every program.

    Returns:
        points: (classes, examples, points, 2), x and y as parts of the canvas, 0..1.
        ink: (classes, examples, points), the length of line that each point stands for; 0 for strokes not drawn.
    """
    draw = _Dice(generator)
    classes = len(programs.size)
    per_drawing, per_stroke = (classes, examples), (classes, examples, STROKES)
    per_piece = (*per_stroke, PIECES)

    turn = programs.turn[:, None] * (1 + draw.normal(per_piece, 0.12)) + draw.normal(per_piece, 7 * DEGREE)
    corner = programs.corner[:, None] * (1 + draw.normal(per_piece, 0.10))
    share = programs.share[:, None] * draw.normal(per_piece, 0.15).exp()
    length = programs.length[:, None] * draw.normal(per_stroke, 0.12).exp()
    heading = programs.heading[:, None] + draw.normal(per_stroke, 6 * DEGREE)
    strokes = trace(heading, length, corner, turn, share / share.sum(-1, keepdim=True))

    at = (programs.at[:, None] + draw.normal(per_stroke, 0.04)).clamp(0, 1)
    offset = programs.offset[:, None] + draw.normal((*per_stroke, 2), 0.05)
    strokes = place(strokes, programs.used, programs.anchor, at, programs.hold, offset)

    points = strokes.flatten(2, 3)
    points = points @ slant(draw, per_drawing)
    low, high = points.amin(2, keepdim=True), points.amax(2, keepdim=True)
    size = (programs.size[:, None] * draw.normal(per_drawing, 0.11).exp()).clamp(max=0.9)
    scale = (size / (high - low).amax(dim=(2, 3)).clamp(min=1e-3))[..., None, None]
    room = (1 - (high - low) * scale) / 2 - 0.03
    centre = 0.48 + (draw.normal((*per_drawing, 1, 2), 0.05)).clamp(-room, room)
    points = (points - (low + high) / 2) * scale + centre

    steps = (points[:, :, 1:] - points[:, :, :-1]).norm(dim=-1)
    ink = torch.nn.functional.pad(steps, (1, 0)).unflatten(2, (STROKES, STEPS))
    ink = ink.clone()
    ink[..., 0] = ink[..., 1]
    return points, (ink * programs.used[:, None, :, None]).flatten(2, 3)


def trace(heading: Tensor, length: Tensor, corner: Tensor, turn: Tensor, share: Tensor) -> Tensor:
    """Follow the hand along each stroke from the origin.

    Args:
        heading, length: (..., strokes).
        corner, turn, share: (..., strokes, pieces).

    Returns:
        points (..., strokes, steps, 2), evenly spaced.
    """
    time = (torch.arange(STEPS) + 0.5) / STEPS
    start = share.cumsum(-1) - share
    direction = heading[..., None].expand(*heading.shape, STEPS)
    for piece in range(share.shape[-1]):
        done = ((time - start[..., piece, None]) / share[..., piece, None].clamp(min=1e-6)).clamp(0, 1)
        direction = direction + turn[..., piece, None] * done + corner[..., piece, None] * (done > 0)
    step = torch.stack([direction.cos(), direction.sin()], -1) * (length / STEPS)[..., None, None]
    return step.cumsum(-2)


def place(strokes: Tensor, used: Tensor, anchor: Tensor, at: Tensor, hold: Tensor, offset: Tensor) -> Tensor:
    """Put each stroke on, or beside, an earlier one; strokes that are not used lie on the first."""
    classes = torch.arange(len(strokes))[:, None]
    examples = torch.arange(strokes.shape[1])
    placed = [strokes[:, :, 0]]
    for s in range(1, strokes.shape[2]):
        earlier = torch.stack(placed, 2)
        target = earlier[classes, examples, anchor[:, s, None], (at[:, :, s] * (STEPS - 1)).long()]
        held = strokes[classes, examples, s, (hold[:, s, None] * (STEPS - 1)).long()]
        moved = strokes[:, :, s] + (target - held + offset[:, :, s])[:, :, None]
        placed.append(torch.where(used[:, None, s, None, None] > 0, moved, placed[0]))
    return torch.stack(placed, 2)


def slant(draw: _Dice, shape: tuple[int, ...]) -> Tensor:
    """A hand's slant: rotation, shear and aspect as (*shape, 2, 2)."""
    angle, shear, aspect = draw.normal(shape, 5 * DEGREE), draw.normal(shape, 0.12), draw.normal(shape, 0.10).exp()
    rotation = torch.stack([torch.stack([angle.cos(), angle.sin()], -1), torch.stack([-angle.sin(), angle.cos()], -1)], -2)
    one, zero = torch.ones_like(shear), torch.zeros_like(shear)
    lean = torch.stack([torch.stack([aspect, zero], -1), torch.stack([shear, one / aspect], -1)], -2)
    return rotation @ lean


def raster(points: Tensor, ink: Tensor, size: int) -> Tensor:
    """The ink left by a round pen: uint8 (drawings, size, size).

        image[r, c]  =  255 min(1, width sum_p ink_p g(r - y_p) g(c - x_p)),    g a normal density of deviation `blur`

    The sum over points is one matrix product for each drawing, since the pen's profile is a product over the two axes.

    Args:
        points: (drawings, points, 2) in pixels.
        ink: (drawings, points), length of line in pixels that each point stands for.
    """
    unit = size / 28
    blur, width = PEN_BLUR * unit, PEN_WIDTH * unit
    centres = torch.arange(size) + 0.5
    images = []
    for part, weight in zip(points.split(CHUNK), ink.split(CHUNK), strict=True):
        distance = (part[..., None] - centres) / blur  # (drawings, points, 2, size)
        profile = torch.exp((-0.5 * distance**2).clamp(min=-20))  # the clamp keeps denormal numbers out, which are slow
        across, down = profile[:, :, 0], profile[:, :, 1] * weight[..., None]
        image = down.transpose(1, 2) @ across * (width / (2 * math.pi * blur**2))
        images.append((255 * image.clamp(max=1)).round().to(torch.uint8))
    return torch.cat(images)


class _Dice:
    """Random tensors from one generator."""

    def __init__(self, generator: Generator):
        self.generator = generator

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, shape: tuple[int, ...], deviation: float) -> Tensor:
        return deviation * torch.randn(shape, generator=self.generator)

    def integers(self, shape: tuple[int, ...], count: int) -> Tensor:
        return torch.randint(count, shape, generator=self.generator)

    def chance(self, shape: tuple[int, ...], probability: float) -> Tensor:
        return torch.rand(shape, generator=self.generator) < probability

    def sign(self, shape: tuple[int, ...]) -> Tensor:
        return 2.0 * self.integers(shape, 2) - 1

    def counts(self, shape: tuple[int, ...], chances: tuple[float, ...]) -> Tensor:
        """1, 2, ... with the given chances."""
        return 1 + torch.multinomial(torch.tensor(chances), math.prod(shape), True, generator=self.generator).view(shape)
