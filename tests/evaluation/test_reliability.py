"""The bins of a reliability diagram against a count by hand, and ECE where it is known."""

import math

import pytest
import torch

from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.evaluation.reliability_curve import Reliability, reliability


def two(confidences):
    """Probabilities of two classes, of which class 0 has these confidences."""
    c = torch.tensor(confidences, dtype=torch.float64)
    return torch.stack([c, 1 - c], 1)


def test_bins_by_hand():
    found = reliability(two([0.55, 0.6, 0.75, 0.8, 0.95, 1.0]), torch.tensor([0, 1, 0, 0, 0, 1]), bins=5)
    # (0.4, 0.6]: 0.55 right, 0.6 wrong;  (0.6, 0.8]: both right;  (0.8, 1]: 0.95 right, 1.0 wrong
    assert [(one.count, one.accuracy) for one in found.bins] == [(2, 0.5), (2, 1.0), (2, 0.5)]
    assert [one.confidence for one in found.bins] == pytest.approx([0.575, 0.775, 0.975])
    assert [(one.low, one.high) for one in found.bins] == [(0.4, 0.6), (0.6, 0.8), (0.8, 1.0)]
    assert found.ece == pytest.approx((0.075 + 0.225 + 0.475) / 3)


@pytest.mark.parametrize(("n", "bins"), [(100, 10), (103, 10), (5, 15)])
def test_bins_of_equal_mass_hold_as_many_each(n, bins):
    found = reliability(torch.rand(n, 3, dtype=torch.float64).softmax(1), torch.randint(0, 3, (n,)), bins=bins, equal="mass")
    counts = [one.count for one in found.bins]
    assert sum(counts) == n
    assert max(counts) - min(counts) <= 1
    assert len(counts) == min(n, bins)


@pytest.mark.parametrize("equal", ["width", "mass"])
def test_ece_is_0_for_honest_probabilities_and_the_gap_for_others(equal):
    generator = torch.Generator().manual_seed(0)
    c = 0.5 + 0.5 * torch.rand(200_000, generator=generator, dtype=torch.float64)
    right = torch.rand(200_000, generator=generator, dtype=torch.float64) < c
    y = torch.where(right, 0, 1)
    assert reliability(two(c.tolist()), y, equal=equal).ece < 0.01
    boasting = reliability(two((0.5 * (1 + c)).tolist()), y, equal=equal)  # control: says (1 + c)/2, is right with c
    assert boasting.ece == pytest.approx(float((0.5 * (1 - c)).mean()), abs=0.01)


def test_one_bin_and_one_example():
    found = reliability(two([0.7]), torch.tensor([1]), bins=1)
    assert math.isclose(found.ece, 0.7)


def test_as_a_dict():
    found = reliability(torch.rand(50, 3).softmax(1), torch.randint(0, 3, (50,)))
    assert Reliability.from_dict(found.to_dict()) == found


@pytest.mark.wrong_types
def test_refusals():
    with pytest.raises(ArgumentError, match=r"`bins`: expected 1 or more, got 0"):
        reliability(two([0.7]), torch.tensor([1]), bins=0)
    with pytest.raises(ArgumentError, match=r"`equal`: expected one of 'width', 'mass', got 'size'"):
        reliability(two([0.7]), torch.tensor([1]), equal="size")
    with pytest.raises(ShapeError, match=r"`reliability\(probabilities, y\)`: .* got \(1, 2\) and \(2,\)"):
        reliability(two([0.7]), torch.tensor([1, 0]))
