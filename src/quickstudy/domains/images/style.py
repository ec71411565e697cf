"""Style: how drawn characters look, as numbers: their script, the hand that draws them, its pen, and the paper.

The defaults were set by eye and by comparison with the *training* characters of Omniglot (ink, extent, parts and holes; then the
accuracy on them of a learner that saw drawn characters only); none of its images is in the package.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from quickstudy.arguments import NonNegativeFloat, PositiveFloat, Probability, checked
from quickstudy.domains.images.dice import Dice
from quickstudy.errors import ArgumentError

DEGREE = math.pi / 180
STROKES, KNOTS = 5, 6  # most strokes in a character, most knots in a stroke


@checked
@dataclass(frozen=True)
class Style:
    """How drawn characters look. The default draws as people drew Omniglot; `Style.any` draws one style of many.

    A script: which shapes its characters have. Lengths are in parts of the lattice's side, angles in radians.

    Args:
        stroke_count: chances of 1, 2, ... strokes in a character, up to 5.
        knot_count: chances of 2, 3, ... knots in a stroke, up to 6; a lone stroke has one more.
        level: chance that a step runs along a row or a column of the lattice.
        reach_level: chances that such a step is 1, 2, 3 nodes long.
        reach_aslant: the same for each side of a step that runs aslant.
        revisit: factor on the chance of a node that the stroke has visited: letters rarely retrace themselves.
        join: chance that a stroke starts on a node of an earlier one.
        closed: chance that a stroke of four knots or more ends where it began.
        smooth, smoothness: chance that a stroke passes its knots without a corner, and how smoothly.
        bowed, bow, straight: chance that a stroke has arcs, their bow (lowest, highest), deviation of the bow of a line.
        bowed_step, same_way: chance that a step of such a stroke is an arc, and that all its arcs turn the same way.
        small, smaller, dot: chance of a small later stroke, its scale (lowest, highest), chance of a dot.
        uneven, aspect: spread (of the logarithm) of the lattice's gaps and of its aspect.
        size, size_spread: longer side of a character as part of the canvas, and its spread from class to class.
        filled: chance that a character is a filled shape: the outline that its strokes make, closed.

    The hand. Standard deviations from drawing to drawing.

    Args:
        node, knot, slip: of a lattice node (strokes that meet still meet), of one knot, of a whole stroke.
        rebow, rebow_share: of a bow, in radians and as a share of it.
        turn, shear, stretch: of the whole character.
        lean: shear that all characters have.
        resize, shift: of the size (of the logarithm) and of the place.

    The pen and the paper.

    Args:
        pen, pen_spread: width of the pen as a multiple of Omniglot's, and its spread (of the logarithm) from drawing to drawing.
        taper: deviation (of the logarithm) of the width along the strokes.
        press: factor on the ink that the pen leaves: above 1 the line is white up to its edges.
        ink, ground: brightness of the ink and of the ground, (lowest, highest) from drawing to drawing.
        texture, noise: deviation of a smooth pattern on the ground, and of noise in each pixel.

    Raises:
        ArgumentError: chances that are not positive numbers, or more of them than strokes or knots; a range upside down.

    Examples:
        >>> from quickstudy.domains.images.style import Style
        >>> bold = qs.tasks.Strokes(classes=(8, 5, 5), style=Style(pen=2.0))
        >>> bool(bold.test.x.float().mean() > qs.tasks.Strokes(classes=(8, 5, 5)).test.x.float().mean())
        True
    """

    stroke_count: tuple[float, ...] = (0.25, 0.30, 0.25, 0.12, 0.08)
    knot_count: tuple[float, ...] = (0.30, 0.28, 0.20, 0.13, 0.09)
    level: Probability = 0.55
    reach_level: tuple[float, float, float] = (0.45, 0.35, 0.20)
    reach_aslant: tuple[float, float, float] = (0.60, 0.30, 0.10)
    revisit: NonNegativeFloat = 0.1
    join: Probability = 0.65
    closed: Probability = 0.15
    smooth: Probability = 0.45
    smoothness: Probability = 0.85
    bowed: Probability = 0.8
    bow: tuple[float, float] = (30 * DEGREE, 110 * DEGREE)
    straight: NonNegativeFloat = 5 * DEGREE
    bowed_step: Probability = 0.6
    same_way: Probability = 0.6
    small: Probability = 0.2
    smaller: tuple[float, float] = (0.25, 0.6)
    dot: Probability = 0.08
    uneven: NonNegativeFloat = 0.3
    aspect: NonNegativeFloat = 0.2
    size: PositiveFloat = 0.63
    size_spread: NonNegativeFloat = 0.105
    filled: Probability = 0.0

    node: NonNegativeFloat = 0.035
    knot: NonNegativeFloat = 0.025
    slip: NonNegativeFloat = 0.02
    rebow: NonNegativeFloat = 8 * DEGREE
    rebow_share: NonNegativeFloat = 0.15
    turn: NonNegativeFloat = 4 * DEGREE
    shear: NonNegativeFloat = 0.12
    stretch: NonNegativeFloat = 0.08
    lean: float = 0.0
    resize: NonNegativeFloat = 0.13
    shift: NonNegativeFloat = 0.048

    pen: PositiveFloat = 1.0
    pen_spread: NonNegativeFloat = 0.0
    taper: NonNegativeFloat = 0.0
    press: PositiveFloat = 1.0
    ink: tuple[float, float] = (1.0, 1.0)
    ground: tuple[float, float] = (0.0, 0.0)
    texture: NonNegativeFloat = 0.0
    noise: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        for name, most in (("stroke_count", STROKES), ("knot_count", KNOTS - 1)):
            chances = getattr(self, name)
            if not 1 <= len(chances) <= most or min(chances) < 0 or not sum(chances) > 0:
                raise ArgumentError(
                    name, expected=f"1 to {most} chances, not all 0", got=str(chances), do="Leave it out for those of letters."
                )
        for name in ("bow", "smaller", "ink", "ground"):
            low, high = getattr(self, name)
            if low > high:
                raise ArgumentError(name, expected="(lowest, highest)", got=str((low, high)), do="Swap the two.")

    @classmethod
    def any(cls, generator: torch.Generator) -> Style:
        """One style of many: another script, hand, pen and paper with each call.

        Each number is drawn around its default, most often near it, so that all kinds of handwriting and simple silhouettes are
        among them. One style for all classes of a task keeps a learner from telling classes apart by their style.
        """
        dice = Dice(generator)
        hand, sway = dice.between(0.8, 2.0), dice.between(0.8, 2.2)
        dirty = dice.one(0.3)
        few = dice.one(0.35)
        return cls(
            stroke_count=(0.6, 0.3, 0.1) if few else (0.25, 0.30, 0.25, 0.12, 0.08),
            level=dice.between(0.3, 0.75),
            join=dice.between(0.5, 0.9),
            closed=dice.between(0.05, 0.4),
            smooth=dice.between(0.2, 0.95),
            bowed=dice.between(0.4, 1.0),
            bowed_step=dice.between(0.35, 0.9),
            dot=dice.between(0.0, 0.12),
            size=dice.between(0.5, 0.85),
            size_spread=dice.between(0.03, 0.12),
            filled=dice.between(0.3, 1.0) if dice.one(0.1) else 0.0,
            node=0.035 * hand,
            knot=0.025 * hand,
            slip=0.02 * hand,
            rebow=8 * DEGREE * hand,
            rebow_share=0.15 * hand,
            turn=4 * DEGREE * sway,
            shear=0.12 * sway,
            stretch=0.08 * sway,
            lean=dice.between(-0.3, 0.3),
            resize=dice.between(0.04, 0.2),
            shift=dice.between(0.01, 0.06),
            pen=math.exp(dice.between(math.log(0.8), math.log(2.8))),
            pen_spread=dice.between(0.0, 0.25),
            taper=dice.between(0.0, 0.3),
            press=dice.between(1.0, 2.5),
            ink=(dice.between(0.6, 1.0), 1.0),
            ground=(0.0, dice.between(0.0, 0.25)) if dirty else (0.0, 0.0),
            texture=dice.between(0.0, 0.1) if dirty else 0.0,
            noise=dice.between(0.0, 0.08) if dirty else 0.0,
        )
