"""Characters that quickstudy draws itself: a class is a stroke program, an example is one jittered drawing of it.

    write_programs    the classes: strokes of lines and arcs from node to node of a small lattice
    redraw            one person's drawing of a class: jitter every node, bow and stroke, then slant, size and place
    raster            the ink that a round pen leaves along the strokes, antialiased: see `ink`

The lattice makes the strokes look like letters: they meet as in letters, run level, upright or aslant, and leave white between
them. All numbers that shape them are those of a `Style`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from quickstudy.arguments import PositiveInt
from quickstudy.domains.images.dice import Dice
from quickstudy.domains.images.ink import PEN_WIDTH, interior, on_paper, pens, raster
from quickstudy.domains.images.style import KNOTS, STROKES, Style
from quickstudy.errors import ArgumentError

GRID = 4  # nodes along a side of the lattice
POINTS = 128  # along all strokes: for the longest characters, 140 pixels, still only two blurs apart, so that no gaps show
LEAST = 0.03  # least share of the points for each step, so that a dot has a few
SMALLEST = 8  # pixels of the smallest canvas
SIZES = (0.3, 0.9)  # smallest and largest longer side of a character, as part of the canvas
CENTRE, MARGIN = 0.485, 0.05  # of a character on the canvas, and the free margin around it
AT_ONCE = 320  # drawings made at a time, so that they stay in the cache
CANDIDATES = 2  # programs written for each one kept: those with most ink under other strokes are dropped
PLAIN = Style()


@dataclass(frozen=True)
class Programs:
    """Stroke programs of many classes. A stroke runs from knot to knot; its k-th step goes from knot k to knot k + 1."""

    lattice: Tensor  # (classes, nodes, 2)         positions of the nodes
    node: Tensor  # (classes, strokes, knots)      the node of each knot
    bow: Tensor  # (classes, strokes, knots - 1)   angle between a step's chord and its ends: 0 a line, 90 degrees a half circle
    smooth: Tensor  # (classes, strokes, knots)    0 for a corner, 1 for a knot passed without one
    scale: Tensor  # (classes, strokes)            of the stroke about its first knot
    drawn: Tensor  # (classes, strokes, knots - 1) whether the step is drawn: characters and strokes differ in length
    size: Tensor  # (classes,)                     longer side of the character, as part of the canvas
    filled: Tensor  # (classes,)                   whether the shape that the strokes enclose is filled in

    def __getitem__(self, index: slice | Tensor) -> Programs:
        """The programs of some classes."""
        return Programs(*(getattr(self, field.name)[index] for field in fields(self)))


def draw_characters(classes: int, examples: PositiveInt, *, generator: Generator, size: int = 28, style: Style = PLAIN) -> Tensor:
    """`examples` drawings of each of `classes` random characters: uint8 (classes, examples, 1, size, size), ink 255 on 0.

    Args:
        classes: how many characters.
        examples: how many drawings of each.
        generator: all randomness comes from it.
        size: pixels along a side. The default is the usual one for Omniglot; the pen grows with the canvas.
        style: how they look.

    Raises:
        ArgumentError: classes or examples below 1, or a canvas smaller than SMALLEST pixels, where strokes run together.
    """
    _check_sizes(classes, examples, size)
    programs = legible(write_programs(CANDIDATES * classes, generator, style), classes, generator, style)
    at_once = max(1, AT_ONCE // examples)
    images = [
        (255 * draw(programs[first : first + at_once], examples, generator, size, style)).round().to(torch.uint8)
        for first in range(0, classes, at_once)
    ]
    return torch.cat(images).view(classes, examples, 1, size, size)


def draw(programs: Programs, examples: int, generator: Generator, size: int, style: Style) -> Tensor:
    """`examples` drawings of each program, on paper: (classes * examples, size, size) in 0..1."""
    points, ink = (part.flatten(0, 1) for part in redraw(programs, examples, generator, style))
    dice = Dice(generator)
    images = raster(points, ink, size, pens(len(ink), POINTS, style, dice), style.press)
    filled = programs.filled.repeat_interleave(examples)
    if filled.any():
        images[filled] = torch.maximum(images[filled], interior(points[filled], size))
    return on_paper(images, style, dice)


def _check_sizes(classes: int, examples: int, size: int) -> None:
    for argument, least, got in (("classes", 1, classes), ("examples", 1, examples), ("size", SMALLEST, size)):
        if not isinstance(got, int) or got < least:
            raise ArgumentError(
                argument,
                expected=f"an integer of at least {least}",
                got=repr(got),
                do="Draw at least one example of one class, on a canvas large enough that its strokes stay apart.",
            )


def legible(programs: Programs, keep: int, generator: Generator, style: Style) -> Programs:
    """The `keep` programs that lose the smallest part of their ink where strokes overlap, in random order."""
    blots = []
    for first in range(0, len(programs.size), AT_ONCE):
        points, ink = redraw(programs[first : first + AT_ONCE], 1, generator, style)
        seen = raster(points[:, 0], ink[:, 0], 28).sum(dim=(1, 2))
        blots.append(1 - seen / (ink[:, 0].sum(-1) * PEN_WIDTH * 28))
    return programs[torch.cat(blots).argsort()[:keep].sort().values]


# Classes


def write_programs(classes: int, generator: Generator, style: Style = PLAIN) -> Programs:
    """Random stroke programs, one for each class."""
    dice = Dice(generator)
    per_stroke, per_step = (classes, STROKES), (classes, STROKES, KNOTS - 1)

    strokes = 1 + dice.choice((classes,), style.stroke_count)
    last = 1 + dice.choice(per_stroke, style.knot_count)
    last[:, 0] = (last[:, 0] + (strokes == 1)).clamp(max=KNOTS - 1)
    node = walk(last, style, dice)
    closed = dice.chance(per_stroke, style.closed) & (last >= 3)
    node = torch.where(closed[..., None] & (torch.arange(KNOTS) == last[..., None]), node[..., :1], node)

    arc = dice.sign(per_step) * dice.uniform(per_step, *style.bow)
    arc = torch.where(dice.chance((*per_stroke, 1), style.same_way), arc.abs() * dice.sign((*per_stroke, 1)), arc)
    arcs = dice.chance((*per_stroke, 1), style.bowed) & dice.chance(per_step, style.bowed_step)
    bow = torch.where(arcs, arc, dice.normal(per_step, style.straight))
    inner = (torch.arange(KNOTS) > 0) & (torch.arange(KNOTS) < last[..., None])
    smooth = style.smoothness * (dice.chance((*per_stroke, 1), style.smooth) & inner)

    scale = torch.where(dice.chance(per_stroke, style.small), dice.uniform(per_stroke, *style.smaller), 1.0)
    scale = torch.where(dice.chance(per_stroke, style.dot), 0.06, scale)
    scale[:, 0] = 1
    size = (style.size + dice.normal((classes,), style.size_spread)).clamp(*SIZES)
    lattice = lattices(classes, style, dice)
    drawn = (torch.arange(KNOTS - 1) < last[..., None]) & (torch.arange(STROKES) < strokes[:, None])[..., None]
    filled = dice.chance((classes,), style.filled) if style.filled else torch.zeros(classes, dtype=torch.bool)
    return Programs(lattice, node, bow, smooth, scale, drawn, size, filled)


def lattices(classes: int, style: Style, dice: Dice) -> Tensor:
    """Lattices of GRID x GRID nodes with uneven gaps: (classes, nodes, 2)."""
    gaps = (dice.normal((classes, GRID - 1, 2), style.uneven) + dice.normal((classes, 1, 2), style.aspect)).exp() / (GRID - 1)
    lines = F.pad(gaps.cumsum(1), (0, 0, 1, 0))
    rows, columns = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    return torch.stack([lines[:, columns, 0], lines[:, rows, 1]], -1)


def walk(last: Tensor, style: Style, dice: Dice) -> Tensor:
    """The nodes that the strokes visit, (classes, strokes, knots); after a stroke's last knot its node repeats."""
    classes = len(last)
    chances = step_chances(style)
    touched = torch.zeros(classes, GRID * GRID)
    strokes = []
    for s in range(STROKES):
        join = dice.chance((classes, 1), style.join) & touched.any(1, keepdim=True)
        nodes = [dice.pick(torch.where(join, touched, 1.0))]
        visited = F.one_hot(nodes[0], GRID * GRID).float()
        for k in range(1, KNOTS):
            step = dice.pick(chances[nodes[-1]] * torch.where(visited > 0, style.revisit, 1.0))
            nodes.append(torch.where(k <= last[:, s], step, nodes[-1]))
            visited = visited + F.one_hot(nodes[-1], GRID * GRID)
        touched = ((touched + visited) > 0).float()
        strokes.append(torch.stack(nodes, -1))
    return torch.stack(strokes, 1)


def step_chances(style: Style) -> Tensor:
    """Chances of a step from each node to each other one, up to scale: (nodes, nodes)."""
    rows, columns = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    down, across = ((axis[:, None] - axis).abs() for axis in (rows, columns))
    level, aslant = F.pad(torch.tensor(style.reach_level), (1, 0)), F.pad(torch.tensor(style.reach_aslant), (1, 0))
    along = level[down] * (across == 0) + level[across] * (down == 0)
    return style.level * along + (1 - style.level) * aslant[down] * aslant[across]


# Drawings of a class


def redraw(programs: Programs, examples: PositiveInt, generator: Generator, style: Style = PLAIN) -> tuple[Tensor, Tensor]:
    """Jittered drawings of every program.

    Returns:
        points: (classes, examples, points, 2), x and y as parts of the canvas, 0..1.
        ink: (classes, examples, points), the length of line that each point stands for; 0 for strokes not drawn.
    """
    dice = Dice(generator)
    per_drawing = (len(programs.size), examples)

    lattice = programs.lattice[:, None] + dice.normal((*per_drawing, GRID * GRID, 2), style.node)
    node = programs.node.flatten(1)[:, None, :, None].expand(*per_drawing, -1, 2)
    knots = lattice.gather(2, node).unflatten(2, (STROKES, KNOTS))
    knots = knots + dice.normal(knots.shape, style.knot) + dice.normal((*per_drawing, STROKES, 1, 2), style.slip)
    knots = knots[..., :1, :] + (knots - knots[..., :1, :]) * programs.scale[:, None, :, None, None]
    per_step = (*per_drawing, STROKES, KNOTS - 1)
    bow = programs.bow[:, None] * (1 + dice.normal(per_step, style.rebow_share)) + dice.normal(per_step, style.rebow)

    points = trace(knots, bow, programs) @ slants(per_drawing, style, dice)
    points = settle(points, programs.size, style, dice)
    apart = points.diff(dim=2).norm(dim=-1)
    return points, torch.minimum(F.pad(apart, (1, 0), value=1), F.pad(apart, (0, 1), value=1))  # the smaller: not across a lift


def trace(knots: Tensor, bow: Tensor, programs: Programs) -> Tensor:
    """Cubic curves through the knots (classes, examples, strokes, knots, 2): points (classes, examples, points, 2).

    With the knots p_k and the slopes a_k, b_k at which step k leaves p_k and arrives at p_k+1, at t in 0..1 of the step

        h00(t) p_k  +  h10(t) a_k  +  h01(t) p_k+1  +  h11(t) b_k          (Hermite's cubics)

    a_k and b_k are the chord turned by the bow one way and the other, longer the more it bows, so that the curve is close to
    an arc of a circle. At a smooth knot the arriving and the leaving slope are pulled toward their mean.
    """
    chord = knots.diff(dim=3)
    across = torch.stack([-chord[..., 1], chord[..., 0]], -1)
    longer = 1 / (bow / 2).cos().square()
    ahead, aside = chord * (bow.cos() * longer)[..., None], across * (bow.sin() * longer)[..., None]
    leave, arrive = ahead + aside, ahead - aside
    bend = programs.smooth[:, None, :, 1:-1, None] * (leave[..., 1:, :] - arrive[..., :-1, :]) / 2
    leave = leave - F.pad(bend, (0, 0, 1, 0))
    arrive = arrive + F.pad(bend, (0, 0, 0, 1))
    controls = torch.cat([part.flatten(2, 3) for part in (knots, leave, arrive)], 2)
    return torch.einsum("cpk,cekd->cepd", hermite(programs), controls)


def hermite(programs: Programs) -> Tensor:
    """Weights of all knots and slopes in each point: (classes, points, strokes knots + 2 strokes (knots - 1)).

    The points are spread over the steps of all strokes by their length, so that they are about evenly spaced.
    """
    classes = torch.arange(len(programs.size))[:, None, None]
    chord = programs.lattice[classes, programs.node].diff(dim=2).norm(dim=-1) * programs.scale[..., None]
    length = (chord / torch.sinc(programs.bow / math.pi) * programs.drawn).flatten(1)
    length = torch.maximum(length, LEAST * length.sum(1, keepdim=True)) * programs.drawn.flatten(1)
    end = length.cumsum(1)
    way = (torch.arange(POINTS) + 0.5) / POINTS * end[:, -1:]
    step = torch.searchsorted(end, way)
    t = (1 - (end.gather(1, step) - way) / length.gather(1, step))[..., None]
    knot = step + step // (KNOTS - 1)  # a stroke has one knot more than steps
    here, there = (F.one_hot(k, STROKES * KNOTS) for k in (knot, knot + 1))
    slope = F.one_hot(step, STROKES * (KNOTS - 1))
    h00, h10, h01, h11 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, 3 * t**2 - 2 * t**3, t**3 - t**2
    return torch.cat([h00 * here + h01 * there, h10 * slope, h11 * slope], -1)


def slants(per_drawing: tuple[int, int], style: Style, dice: Dice) -> Tensor:
    """How each drawing is turned, sheared and stretched: (classes, examples, 2, 2), to be applied from the right."""
    turn, shear, stretch = (
        dice.normal(per_drawing, style.turn),
        style.lean + dice.normal(per_drawing, style.shear),
        dice.normal(per_drawing, style.stretch).exp(),
    )
    rows = [stretch * turn.cos(), turn.sin(), shear - turn.sin(), turn.cos() / stretch]
    return torch.stack(rows, -1).unflatten(-1, (2, 2))


def settle(points: Tensor, size: Tensor, style: Style, dice: Dice) -> Tensor:
    """Scale every drawing to about its class's size and move it near the middle of the canvas: points in 0..1."""
    low, high = points.amin(2, keepdim=True), points.amax(2, keepdim=True)
    extent = high - low
    size = (size[:, None, None, None] * dice.normal((*points.shape[:2], 1, 1), style.resize).exp()).clamp(max=SIZES[1])
    scale = size / extent.amax(3, keepdim=True).clamp(min=1e-2)
    room = ((1 - extent * scale) / 2 - MARGIN).clamp(min=0)
    centre = CENTRE + dice.normal(extent.shape, style.shift).clamp(-room, room)
    return (points - (low + high) / 2) * scale + centre
