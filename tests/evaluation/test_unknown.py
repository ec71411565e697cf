"""Telling known from unknown: AUROC against a count of all pairs, and a threshold that keeps what it promises."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.errors import ArgumentError
from quickstudy.evaluation.ood_scores import Energy, MaxProbability, auroc, threshold_keeping

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)  # so few values that ties are many


@given(known=SCORES, unknown=SCORES)
def test_auroc_is_the_count_of_all_pairs(known, unknown):
    pairs = [(s > u) + 0.5 * (s == u) for s in known for u in unknown]
    s, u = torch.tensor(known, dtype=torch.float64), torch.tensor(unknown, dtype=torch.float64)
    assert auroc(s, u) == pytest.approx(sum(pairs) / len(pairs))
    assert auroc(u, s) == pytest.approx(1 - auroc(s, u))


def test_auroc_at_its_ends():
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])
    assert (auroc(high, low), auroc(low, high), auroc(low, low)) == (1.0, 0.0, 0.5)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.95])
def test_the_threshold_keeps_the_promised_share_of_new_scores(keep):
    """The share of a new score, over many draws of 19..59 old ones, is at least `keep`, and not more than one place above.

    Control: the next higher score as the threshold keeps too few.
    """
    generator = torch.Generator().manual_seed(0)
    n = round(2 / (1 - keep)) - 1  # (n + 1)(1 - keep) is 2, so the bound is met exactly
    old = torch.rand(20_000, n, generator=generator, dtype=torch.float64)
    new = torch.rand(20_000, generator=generator, dtype=torch.float64)
    thresholds = torch.tensor([threshold_keeping(row, keep) for row in old], dtype=torch.float64)
    error = 4 * (keep * (1 - keep) / len(new)) ** 0.5
    assert abs(float((new >= thresholds).double().mean()) - keep) < error
    following = old.sort(1).values[:, 2]
    assert float((new >= following).double().mean()) < keep - error


def test_shares_that_cannot_be_kept():
    with pytest.raises(ArgumentError, match=r"`keep`: expected a share in \(0, 1\), got 1\.0"):
        threshold_keeping(torch.rand(10), 1.0)
    with pytest.raises(ArgumentError, match=r"`keep`: .* that 18 known queries can vouch for, .* Take more .* at least 19 known"):
        threshold_keeping(torch.rand(18), 0.95)
    assert threshold_keeping(torch.arange(19.0), 0.95) == 0.0


def test_scores_equal_their_equations_and_energy_sees_what_probability_does_not():
    near, far = torch.tensor([[-1.0, -9.0]]), torch.tensor([[-101.0, -109.0]])
    assert torch.equal(MaxProbability()(near, 2.0), MaxProbability()(far, 2.0))
    assert float(MaxProbability()(near, 2.0)) == pytest.approx(1 / (1 + torch.tensor(-4.0).exp()).item())
    assert float(Energy()(near, 2.0) - Energy()(far, 2.0)) == pytest.approx(100.0)
    assert float(Energy()(near, 2.0)) == pytest.approx(2 * float(torch.tensor([-0.5, -4.5]).exp().sum().log()))
