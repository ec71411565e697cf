"""Styles of drawn characters: what each number does to the drawings."""

from __future__ import annotations

import pytest
import torch

from quickstudy.domains.images.dice import Dice
from quickstudy.domains.images.drawing import draw_characters
from quickstudy.domains.images.ink import interior, on_paper, raster
from quickstudy.domains.images.strokes import Strokes
from quickstudy.domains.images.style import Style
from quickstudy.errors import ArgumentError


def drawn(style: Style, classes: int = 30, examples: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return draw_characters(classes, examples, generator=generator, style=style)[:, :, 0].float() / 255


def spread(images: torch.Tensor) -> float:
    """Mean squared difference of drawings of one class."""
    return float((images - images.mean(1, keepdim=True)).square().mean())


def test_the_default_draws_as_before_there_were_styles():
    plain = draw_characters(5, 3, generator=torch.Generator().manual_seed(3))
    assert torch.equal(plain, draw_characters(5, 3, generator=torch.Generator().manual_seed(3), style=Style()))
    assert int(plain.sum(dtype=torch.int64)) == 175399  # measured before


def test_a_broader_pen_leaves_more_ink_and_a_pressed_one_whiter_lines():
    plain, broad = drawn(Style()), drawn(Style(pen=2.0))
    assert 1.6 < float(broad.mean() / plain.mean()) < 2.2
    pressed = drawn(Style(press=2.0))
    assert float((pressed > 0.95).float().mean()) > 2 * float((plain > 0.95).float().mean())


def test_a_pen_varies_from_drawing_to_drawing_or_along_the_strokes():
    points = torch.stack([torch.linspace(0.1, 0.9, 128), torch.full((128,), 0.5)], 1).expand(2, 128, 2)
    ink = torch.full((2, 128), 0.8 / 128)
    thin, thick = raster(points, ink, 28, torch.tensor([[0.5], [2.0]]).expand(2, 128))
    assert thick.sum() > 3 * thin.sum()
    swelling = raster(points[:1], ink[:1], 28, torch.linspace(0.5, 2.0, 128)[None])[0]
    assert swelling[:, 18:].sum() > 1.5 * swelling[:, :10].sum()


def test_a_looser_hand_and_a_lean():
    still = {"resize": 0.0, "shift": 0.0, "turn": 0.0, "shear": 0.0, "stretch": 0.0}
    assert spread(drawn(Style(**still, node=0.1, knot=0.08))) > 1.2 * spread(drawn(Style(**still)))
    assert spread(drawn(Style(**still | {"turn": 0.5}))) > 1.1 * spread(drawn(Style(**still)))
    upright, leaning = drawn(Style()), drawn(Style(lean=1.0))
    assert not torch.equal(upright, leaning)
    rows = torch.arange(28.0)[:, None]
    columns = torch.arange(28.0)

    def slope(images: torch.Tensor) -> float:
        """Covariance of row and column of the ink over the variance of the rows."""
        ink = images.flatten(0, 1) + 1e-9
        total = ink.sum((1, 2), keepdim=True)
        row, column = (ink * rows).sum((1, 2), keepdim=True) / total, (ink * columns).sum((1, 2), keepdim=True) / total
        both = (ink * (rows - row) * (columns - column)).sum((1, 2)) / (ink * (rows - row) ** 2).sum((1, 2))
        return float(both.median())

    assert slope(leaning) > slope(upright) + 0.5


def test_the_inside_of_a_square_and_of_a_ring():
    square = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])[None]
    found = interior(square, 28)[0]
    assert found.sum() == 14 * 14
    assert found[7:21, 7:21].min() == 1
    twice = torch.cat([square, square], 1)  # the even-odd rule: twice around is outside
    assert interior(twice, 28).sum() == 0


def test_filled_shapes_have_more_ink_than_their_outlines():
    outlines, filled = drawn(Style(closed=1.0)), drawn(Style(closed=1.0, filled=1.0))
    assert float(filled.mean()) > 1.3 * float(outlines.mean())


def test_ink_and_ground_take_their_brightness_and_noise():
    images = torch.zeros(50, 28, 28)
    images[:, 10:18, 10:18] = 1
    dice = Dice(torch.Generator().manual_seed(0))
    found = on_paper(images, Style(ink=(0.6, 0.8), ground=(0.1, 0.2)), dice)
    assert 0.6 <= float(found[:, 10:18, 10:18].min()) <= float(found[:, 10:18, 10:18].max()) <= 0.8
    assert 0.1 <= float(found[:, 0].min()) <= float(found[:, 0].max()) <= 0.2
    noisy = on_paper(images * 0 + 0.5, Style(noise=0.05), dice)
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.05)
    assert on_paper(images, Style(), dice) is images


def test_any_style_is_another_one_each_time_and_can_be_drawn():
    generator = torch.Generator().manual_seed(0)
    styles = [Style.any(generator) for _ in range(30)]
    assert len(set(styles)) == 30
    assert Style.any(torch.Generator().manual_seed(0)) == styles[0]
    for style in styles:
        images = drawn(style, 2, 2)
        assert torch.isfinite(images).all()
        assert (images.flatten(2).amax(2) - images.flatten(2).amin(2)).min() > 0.1


def test_strokes_in_a_style():
    plain, bold = (Strokes(classes=(6, 5, 5), style=style) for style in (Style(), Style(pen=2.0)))
    assert bold.train.x.float().mean() > 1.5 * plain.train.x.float().mean()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stroke_count": (0.0,)}, r"`stroke_count`: expected 1 to 5 chances, not all 0, got \(0\.0,\)\. Leave it out"),
        ({"knot_count": (0.1,) * 6}, r"`knot_count`: expected 1 to 5 chances"),
        ({"ink": (1.0, 0.5)}, r"`ink`: expected \(lowest, highest\), got \(1\.0, 0\.5\)\. Swap the two"),
        ({"pen": 0.0}, r"`pen`: expected"),
    ],
)
def test_styles_that_cannot_be(arguments: dict[str, object], message: str):
    with pytest.raises(ArgumentError, match=message):
        Style(**arguments)  # type: ignore[arg-type]
