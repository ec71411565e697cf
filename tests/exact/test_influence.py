"""Influence balancing, where truncation is biased beyond repair: its exact gradients, and what PES makes of the same windows.

c_t = d x_t^1 / d theta,     d/dtheta 1/T sum_t 1/2 (x_t^1 - 1)^2  =  1/T sum_t (x_t^1 - 1) c_t                the truth
                             cut every W steps:                       1/T sum_t (x_t^1 - 1) c_{(t - 1) mod W + 1}
"""

from __future__ import annotations

import pytest
import torch
from benchmarks.studies.influence import STEPS, Influence, influence, optimum, regret, rest, stream, system
from tests.meta.runs import over_the_run

import quickstudy as qs
from quickstudy.meta.estimators import ForwardMode, PersistentEvolution

WINDOW, RUNS = 5, 2


def by_hand(theta, steps, window):
    """(truth, cut): means over the very runs that `over_the_run` begins, whose numbers are those of seed 0."""
    A, s = system()
    generator = torch.Generator().manual_seed(1)
    run, c, total = Influence(theta, steps), influence(steps), torch.zeros(2, dtype=torch.float64)
    for _ in range(RUNS):
        x = run.init(None, int(torch.randint(2**31, (), generator=generator)))["x"]
        for t in range(1, steps + 1):
            x = A @ x + theta * s
            total += (x[0] - 1) * torch.stack([c[t - 1], c[(t - 1) % window]])
    return total / (RUNS * steps)


def mean_gradient(estimator, theta, steps, window, seed=0):
    found, _ = over_the_run(estimator, Influence(theta, steps), stream(window).train, RUNS, executor="vmap", seed=seed)
    return float(torch.stack([one["theta"] for one in found]).mean())


@pytest.mark.parametrize("theta", [-0.05, 0.3])
def test_the_cut_gradient_is_wrong_by_its_exact_amount_and_in_sign(theta):
    truth, cut = by_hand(theta, 150, WINDOW)
    assert abs(mean_gradient(qs.Backprop(), theta, 150, 150) - truth) < 1e-10
    assert abs(mean_gradient(ForwardMode(), theta, 150, WINDOW) - truth) < 1e-10
    assert abs(mean_gradient(qs.Backprop(), theta, 150, WINDOW) - cut) < 1e-10
    if theta > 0:
        assert truth > 1
        assert cut < -1  # descent goes up, where it should go down


def test_persistent_evolution_covers_the_truth_and_evolution_the_cut_one():
    truth, cut = (float(value) for value in by_hand(0.3, 150, WINDOW))
    for estimator, mine, other in (
        (PersistentEvolution(population=200, sigma=0.05), truth, cut),
        (qs.Evolution(population=200, sigma=0.05, ranks=False), cut, truth),
    ):
        got = torch.tensor([mean_gradient(estimator, 0.3, 150, WINDOW, seed) for seed in range(6)])
        half = 5 * float(got.std()) / len(got) ** 0.5
        assert abs(float(got.mean()) - mine) < half < 0.5 * abs(truth - cut)
        assert abs(float(got.mean()) - other) > half


def test_the_optimum_and_the_regret_are_those_of_the_expected_loss():
    """E L by Monte Carlo over x_0, at theta* and beside it."""
    generator, theta = torch.Generator().manual_seed(0), torch.tensor([optimum(), optimum() + 0.05, optimum() - 0.1])
    A, s = system()
    x = torch.randn(20_000, len(s), generator=generator, dtype=torch.float64)
    start, losses = x, torch.zeros(3, dtype=torch.float64)
    for c in influence():
        start = start @ A.T
        losses += 0.5 * ((start[:, :1] + c * theta - 1) ** 2).mean(0) / STEPS
    torch.testing.assert_close(losses - losses[0], regret(theta), rtol=0.05, atol=1e-3)
    assert float(regret(theta)[1:].min()) > 0.01


def test_influence_rises_for_ten_steps_and_rests_at_minus_six():
    c = influence(400)
    assert c[:10].tolist() == list(range(1, 11))
    assert abs(float(c[-1]) + 6) < 1e-9


@pytest.mark.parametrize("window", [5, 100, STEPS])
def test_what_a_cut_derivative_sees_on_average_is_a_line_in_theta(window):
    """The slope k and the zero r of the cut gradient, from E x_0 = 0: the system is run with x_0 = 0."""
    A, s = system()
    c, gradients = influence(), []
    for theta in (0.0, 1.0):
        x, total = torch.zeros_like(s), 0.0
        for t in range(STEPS):
            x = A @ x + theta * s
            total += float((x[0] - 1) * c[t % window]) / STEPS
        gradients.append(total)
    k, r = rest(window)
    assert abs(gradients[1] - gradients[0] - k) < 1e-9
    assert abs(gradients[0] + k * r) < 1e-9
    assert (k < 0) == (window == 5)
    assert (abs(r - optimum()) < 1e-12) == (window == STEPS)
