"""Characters that quickstudy draws itself: a class is a stroke program, an example is one jittered drawing of it.

    write_programs    the classes: strokes of lines and arcs from node to node of a small lattice
    redraw            one person's drawing of a class: jitter every node, bow and stroke, then slant, size and place
    raster            the ink that a round pen leaves along the strokes, antialiased

The lattice makes the strokes look like letters: they meet as in letters, run level, upright or aslant, and leave white between
them. The constants were set by eye and by comparison with the *training* characters of Omniglot (ink, extent, parts and holes;
then the accuracy on them of a learner that saw drawn characters only); none of its images is in the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from quickstudy.arguments import PositiveInt
from quickstudy.errors import ArgumentError

DEGREE = math.pi / 180

# The program. Lengths are in parts of the lattice's side, angles in radians.
STROKES, KNOTS, GRID = 5, 6, 4  # most strokes in a character, most knots in a stroke, nodes along a side of the lattice
STROKE_COUNT = (0.25, 0.30, 0.25, 0.12, 0.08)  # chance of 1, 2, ... strokes
KNOT_COUNT = (0.30, 0.28, 0.20, 0.13, 0.09)  # chance of 2, 3, ... knots in a stroke; a lone stroke has one more
LEVEL = 0.55  # chance that a step runs along a row or a column of the lattice
REACH_LEVEL = (0.45, 0.35, 0.20)  # chance that such a step is 1, 2, 3 nodes long
REACH_ASLANT = (0.60, 0.30, 0.10)  # the same for each side of a step that runs aslant
REVISIT = 0.1  # factor on the chance of a node that the stroke has visited: letters rarely retrace themselves
JOIN = 0.65  # chance that a stroke starts on a node of an earlier one
CLOSED = 0.15  # chance that a stroke of four knots or more ends where it began
SMOOTH, SMOOTHNESS = 0.45, 0.85  # chance that a stroke passes its knots without a corner, and how smoothly
BOWED, BOW, STRAIGHT = 0.8, (30 * DEGREE, 110 * DEGREE), 5 * DEGREE  # chance that a stroke has arcs, their bow, that of a line
BOWED_STEP, SAME_WAY = 0.6, 0.6  # chance that a step of such a stroke is an arc, and that all its arcs turn the same way
SMALL, SMALLER, DOT = 0.2, (0.25, 0.6), 0.08  # chance of a small later stroke, its scale, chance of a dot
UNEVEN, ASPECT = 0.3, 0.2  # spread (of the logarithm) of the lattice's gaps and of its aspect
SIZE, SIZE_SPREAD, SIZES = 0.63, 0.105, (0.3, 0.9)  # longer side of a character, as part of the canvas
CANDIDATES = 2  # programs written for each one kept: those with most ink under other strokes are dropped

# The hand: standard deviations from drawing to drawing.
NODE, KNOT, SLIP = 0.035, 0.025, 0.02  # of a lattice node (strokes that meet still meet), of one knot, of a whole stroke
REBOW, REBOW_SHARE = 8 * DEGREE, 0.15  # of a bow
TURN, SHEAR, STRETCH = 4 * DEGREE, 0.12, 0.08  # of the whole character
RESIZE, SHIFT = 0.13, 0.048  # of its size (of the logarithm) and place
CENTRE, MARGIN = 0.485, 0.05  # its centre on the canvas, and the free margin around it

# The pen, in pixels of a canvas of 28.
PEN_WIDTH, PEN_BLUR = 1.12, 0.52  # width of the line; standard deviation of its profile
POINTS = 128  # along all strokes: for the longest characters, 140 pixels, still only two blurs apart, so that no gaps show
LEAST = 0.03  # least share of the points for each step, so that a dot has a few
SMALLEST = 8  # pixels of the smallest canvas
AT_ONCE = 320  # drawings made at a time, so that they stay in the cache


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

    def __getitem__(self, index: slice | Tensor) -> Programs:
        """The programs of some classes."""
        return Programs(*(getattr(self, field.name)[index] for field in fields(self)))


def draw_characters(classes: int, examples: PositiveInt, *, generator: Generator, size: int = 28) -> Tensor:
    """`examples` drawings of each of `classes` random characters: uint8 (classes, examples, 1, size, size), ink 255 on 0.

    Args:
        classes: how many characters.
        examples: how many drawings of each.
        generator: all randomness comes from it.
        size: pixels along a side. The default is the usual one for Omniglot; the pen grows with the canvas.

    Raises:
        ArgumentError: classes or examples below 1, or a canvas smaller than SMALLEST pixels, where strokes run together.
    """
    _check_sizes(classes, examples, size)
    programs = legible(write_programs(CANDIDATES * classes, generator), classes, generator)
    at_once = max(1, AT_ONCE // examples)
    images = []
    for first in range(0, classes, at_once):
        points, ink = redraw(programs[first : first + at_once], examples, generator)
        images.append((255 * raster(points.flatten(0, 1), ink.flatten(0, 1), size)).round().to(torch.uint8))
    return torch.cat(images).view(classes, examples, 1, size, size)


def _check_sizes(classes: int, examples: int, size: int) -> None:
    for argument, least, got in (("classes", 1, classes), ("examples", 1, examples), ("size", SMALLEST, size)):
        if not isinstance(got, int) or got < least:
            raise ArgumentError(
                argument,
                expected=f"an integer of at least {least}",
                got=repr(got),
                do="Draw at least one example of one class, on a canvas large enough that its strokes stay apart.",
            )


def legible(programs: Programs, keep: int, generator: Generator) -> Programs:
    """The `keep` programs that lose the smallest part of their ink where strokes overlap, in random order."""
    blots = []
    for first in range(0, len(programs.size), AT_ONCE):
        points, ink = redraw(programs[first : first + AT_ONCE], 1, generator)
        seen = raster(points[:, 0], ink[:, 0], 28).sum(dim=(1, 2))
        blots.append(1 - seen / (ink[:, 0].sum(-1) * PEN_WIDTH * 28))
    return programs[torch.cat(blots).argsort()[:keep].sort().values]


# Classes


def write_programs(classes: int, generator: Generator) -> Programs:
    """Random stroke programs, one for each class."""
    dice = _Dice(generator)
    per_stroke, per_step = (classes, STROKES), (classes, STROKES, KNOTS - 1)

    strokes = 1 + dice.choice((classes,), STROKE_COUNT)
    last = 1 + dice.choice(per_stroke, KNOT_COUNT)
    last[:, 0] = (last[:, 0] + (strokes == 1)).clamp(max=KNOTS - 1)
    node = walk(last, dice)
    closed = dice.chance(per_stroke, CLOSED) & (last >= 3)
    node = torch.where(closed[..., None] & (torch.arange(KNOTS) == last[..., None]), node[..., :1], node)

    arc = dice.sign(per_step) * dice.uniform(per_step, *BOW)
    arc = torch.where(dice.chance((*per_stroke, 1), SAME_WAY), arc.abs() * dice.sign((*per_stroke, 1)), arc)
    arcs = dice.chance((*per_stroke, 1), BOWED) & dice.chance(per_step, BOWED_STEP)
    bow = torch.where(arcs, arc, dice.normal(per_step, STRAIGHT))
    inner = (torch.arange(KNOTS) > 0) & (torch.arange(KNOTS) < last[..., None])
    smooth = SMOOTHNESS * (dice.chance((*per_stroke, 1), SMOOTH) & inner)

    scale = torch.where(dice.chance(per_stroke, SMALL), dice.uniform(per_stroke, *SMALLER), 1.0)
    scale = torch.where(dice.chance(per_stroke, DOT), 0.06, scale)
    scale[:, 0] = 1
    size = (SIZE + dice.normal((classes,), SIZE_SPREAD)).clamp(*SIZES)
    drawn = (torch.arange(KNOTS - 1) < last[..., None]) & (torch.arange(STROKES) < strokes[:, None])[..., None]
    return Programs(lattices(classes, dice), node, bow, smooth, scale, drawn, size)


def lattices(classes: int, dice: _Dice) -> Tensor:
    """Lattices of GRID x GRID nodes with uneven gaps: (classes, nodes, 2)."""
    gaps = (dice.normal((classes, GRID - 1, 2), UNEVEN) + dice.normal((classes, 1, 2), ASPECT)).exp() / (GRID - 1)
    lines = F.pad(gaps.cumsum(1), (0, 0, 1, 0))
    rows, columns = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    return torch.stack([lines[:, columns, 0], lines[:, rows, 1]], -1)


def walk(last: Tensor, dice: _Dice) -> Tensor:
    """The nodes that the strokes visit, (classes, strokes, knots); after a stroke's last knot its node repeats."""
    classes = len(last)
    chances = step_chances()
    touched = torch.zeros(classes, GRID * GRID)
    strokes = []
    for s in range(STROKES):
        join = dice.chance((classes, 1), JOIN) & touched.any(1, keepdim=True)
        nodes = [dice.pick(torch.where(join, touched, 1.0))]
        visited = F.one_hot(nodes[0], GRID * GRID).float()
        for k in range(1, KNOTS):
            step = dice.pick(chances[nodes[-1]] * torch.where(visited > 0, REVISIT, 1.0))
            nodes.append(torch.where(k <= last[:, s], step, nodes[-1]))
            visited = visited + F.one_hot(nodes[-1], GRID * GRID)
        touched = ((touched + visited) > 0).float()
        strokes.append(torch.stack(nodes, -1))
    return torch.stack(strokes, 1)


def step_chances() -> Tensor:
    """Chances of a step from each node to each other one, up to scale: (nodes, nodes)."""
    rows, columns = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    down, across = ((axis[:, None] - axis).abs() for axis in (rows, columns))
    level, aslant = F.pad(torch.tensor(REACH_LEVEL), (1, 0)), F.pad(torch.tensor(REACH_ASLANT), (1, 0))
    along = level[down] * (across == 0) + level[across] * (down == 0)
    return LEVEL * along + (1 - LEVEL) * aslant[down] * aslant[across]


# Drawings of a class


def redraw(programs: Programs, examples: PositiveInt, generator: Generator) -> tuple[Tensor, Tensor]:
    """Jittered drawings of every program.

    Returns:
        points: (classes, examples, points, 2), x and y as parts of the canvas, 0..1.
        ink: (classes, examples, points), the length of line that each point stands for; 0 for strokes not drawn.
    """
    dice = _Dice(generator)
    per_drawing = (len(programs.size), examples)

    lattice = programs.lattice[:, None] + dice.normal((*per_drawing, GRID * GRID, 2), NODE)
    node = programs.node.flatten(1)[:, None, :, None].expand(*per_drawing, -1, 2)
    knots = lattice.gather(2, node).unflatten(2, (STROKES, KNOTS))
    knots = knots + dice.normal(knots.shape, KNOT) + dice.normal((*per_drawing, STROKES, 1, 2), SLIP)
    knots = knots[..., :1, :] + (knots - knots[..., :1, :]) * programs.scale[:, None, :, None, None]
    per_step = (*per_drawing, STROKES, KNOTS - 1)
    bow = programs.bow[:, None] * (1 + dice.normal(per_step, REBOW_SHARE)) + dice.normal(per_step, REBOW)

    points = trace(knots, bow, programs) @ slants(per_drawing, dice)
    points = settle(points, programs.size, dice)
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


def slants(per_drawing: tuple[int, int], dice: _Dice) -> Tensor:
    """How each drawing is turned, sheared and stretched: (classes, examples, 2, 2), to be applied from the right."""
    turn, shear, stretch = (
        dice.normal(per_drawing, TURN),
        dice.normal(per_drawing, SHEAR),
        dice.normal(per_drawing, STRETCH).exp(),
    )
    rows = [stretch * turn.cos(), turn.sin(), shear - turn.sin(), turn.cos() / stretch]
    return torch.stack(rows, -1).unflatten(-1, (2, 2))


def settle(points: Tensor, size: Tensor, dice: _Dice) -> Tensor:
    """Scale every drawing to about its class's size and move it near the middle of the canvas: points in 0..1."""
    low, high = points.amin(2, keepdim=True), points.amax(2, keepdim=True)
    extent = high - low
    size = (size[:, None, None, None] * dice.normal((*points.shape[:2], 1, 1), RESIZE).exp()).clamp(max=SIZES[1])
    scale = size / extent.amax(3, keepdim=True).clamp(min=1e-2)
    room = ((1 - extent * scale) / 2 - MARGIN).clamp(min=0)
    centre = CENTRE + dice.normal(extent.shape, SHIFT).clamp(-room, room)
    return (points - (low + high) / 2) * scale + centre


# The ink


def raster(points: Tensor, ink: Tensor, size: int) -> Tensor:
    """The ink left by a round pen: (drawings, size, size) in 0..1.

        image[r, c]  =  min(1, width sum_p ink_p g(r - y_p) g(c - x_p)),    g the normal density of deviation `blur`

    A pen's profile is a product over the two axes, so the sum over points is one matrix product for each drawing.

    Args:
        points: (drawings, points, 2), x and y as parts of the canvas.
        ink: (drawings, points), the length of line that each point stands for, as part of the canvas.
        size: pixels along a side.
    """
    centres = (torch.arange(size) + 0.5) / size
    width, blur = PEN_WIDTH / 28, PEN_BLUR / 28
    distance = (points[..., None] - centres) / blur
    profile = (-0.5 * distance.square()).clamp(min=-20).exp()  # the clamp avoids denormal numbers, which are slow
    across, down = profile[:, :, 0], profile[:, :, 1] * ink[..., None]
    return (down.transpose(1, 2) @ across * (width / (2 * math.pi * blur**2))).clamp(max=1)


class _Dice:
    """Random tensors of a given shape, all from one generator."""

    def __init__(self, generator: Generator):
        self.generator = generator

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, shape: tuple[int, ...], deviation: float) -> Tensor:
        return deviation * torch.randn(shape, generator=self.generator)

    def chance(self, shape: tuple[int, ...], probability: float) -> Tensor:
        return torch.rand(shape, generator=self.generator) < probability

    def sign(self, shape: tuple[int, ...]) -> Tensor:
        return 2.0 * torch.randint(2, shape, generator=self.generator) - 1

    def pick(self, weights: Tensor) -> Tensor:
        """An index for each row of weights (rows, choices)."""
        return torch.multinomial(weights, 1, generator=self.generator)[:, 0]

    def choice(self, shape: tuple[int, ...], chances: tuple[float, ...]) -> Tensor:
        """0, 1, ... with the given chances."""
        return self.pick(torch.tensor(chances).expand(math.prod(shape), -1)).view(shape)
