"""Hyperparameters as phi against closed forms and against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.hyperparameters import ConcreteDropout, LabelSmoothing, Schedule, WeightDecay
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.linear_solvers import Exact, Identity, Neumann
from quickstudy.meta.estimators.fixed_point import FixedPoint
from quickstudy.meta.estimators.forward_mode import ForwardMode


def linear(features=3):
    return nn.Linear(features, 1, bias=False)


def regression(n=12, features=3):
    x = torch.randn(n, features)
    return qs.Examples(x, x.sum(1, keepdim=True) + torch.randn(n, 1))


# ---- weight decay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["element", "tensor", "network"])
def test_decays_at_rest_have_the_gradient_of_ridge_regression(per):
    """2/n X'(X theta - y) + lambda theta = 0:  theta* = (2/n X'X + diag lambda)^{-1} 2/n X'y."""
    support, query = regression(), regression()
    run = LearnedTraining(linear(), steps=120, inner_lr=0.3, decay=WeightDecay(0.3, per=per))
    solved = lambda solver: qs.meta_gradient(run, [qs.Episode(support, query)], estimator=FixedPoint(solver))[1]
    got = solved(Exact())["decays.log_decay.0"]
    phi = run.decays.log_decay[0].detach().clone().requires_grad_()
    assert phi.shape == ((1, 3) if per == "element" else ())
    A = 2 / 12 * support.x.T @ support.x + torch.diag(phi.exp().expand(1, 3)[0])
    theta = torch.linalg.solve(A, 2 / 12 * support.x.T @ support.y)
    (want,) = torch.autograd.grad(((query.x @ theta - query.y) ** 2).mean(), phi)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-9)
    missed = solved(Identity(1.0))["decays.log_decay.0"]  # the control: the identity in the inverse's place
    assert (missed - want).abs().max() > 0.1 * want.abs().max()


def logistic(steps):
    torch.manual_seed(1)
    draw = lambda n: qs.Examples(torch.randn(n, 3) + (torch.arange(n) % 2)[:, None], torch.arange(n) % 2, 2)
    episode = qs.Episode(draw(16), draw(16))
    return LearnedTraining(nn.Linear(3, 2), steps=steps, inner_lr=1.0, decay=WeightDecay(0.1, per="element")), episode


def test_the_implicit_gradient_of_logistic_regression_equals_the_unrolled_one_at_the_fixed_point():
    run, episode = logistic(150)
    unrolled = qs.meta_gradient(run, [episode])[1]
    implicit = qs.meta_gradient(run, [episode], estimator=FixedPoint(Neumann(terms=300)))[1]
    largest = max(float(one.abs().max()) for one in unrolled.values())
    gap = max(float((unrolled[name] - implicit[name]).abs().max()) for name in unrolled)
    assert gap < 1e-5 * largest
    run, episode = logistic(3)  # the control: not at rest
    unrolled = qs.meta_gradient(run, [episode])[1]
    implicit = qs.meta_gradient(run, [episode], estimator=FixedPoint(Neumann(terms=300)))[1]
    assert max(float((unrolled[name] - implicit[name]).abs().max()) for name in unrolled) > 1e-2 * largest


def test_forward_mode_gives_the_unrolled_gradient():
    run, episode = logistic(5)
    unrolled, forward = (qs.meta_gradient(run, [episode], estimator=one)[1] for one in (None, ForwardMode()))
    for name, want in unrolled.items():
        torch.testing.assert_close(forward[name], want, rtol=1e-9, atol=1e-13)


def test_a_constant_decay_is_torchs():
    net, batch = nn.Linear(3, 2), logistic(1)[1].support
    run = LearnedTraining(net, steps=4, inner_lr=0.5, decay=0.25)
    state = run.init(None, 0)
    for (_, p), value in zip(net.named_parameters(), state["theta"].values(), strict=True):
        p.data.copy_(value)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5, weight_decay=0.25)
    for _ in range(4):
        state = run.step(state, batch)
        optimizer.zero_grad()
        F.cross_entropy(net(batch.x), batch.y).backward()
        optimizer.step()
    for p, value in zip(net.parameters(), state["theta"].values(), strict=True):
        torch.testing.assert_close(value, p.detach(), rtol=1e-12, atol=1e-13)


# ---- schedule ------------------------------------------------------------------------------------------------------------


def test_a_schedule_is_straight_between_its_knots_in_the_logarithm():
    schedule = Schedule(0.1, steps=9, knots=3)
    with torch.no_grad():
        schedule.log_rate.copy_(torch.tensor([0.1, 0.4, 0.025]).log())
    got = torch.stack([schedule(torch.tensor(t)) for t in (0, 2, 4, 6, 8, 100)]).detach()
    torch.testing.assert_close(got, torch.tensor([0.1, 0.2, 0.4, 0.1, 0.025, 0.025]))
    assert Schedule(0.3, steps=1, knots=1)(torch.tensor(5)).item() == pytest.approx(0.3)


def test_the_gradient_of_a_schedule_in_closed_form():
    """One weight, x = 1, y = 0: l = theta^2, g = 2 theta, theta_K = theta_0 prod (1 - 2 a_t).

    d theta_K^2 / d phi_t = 2 theta_K^2 * (-2 a_t) / (1 - 2 a_t) with a rate of its own for every step.
    """
    run = LearnedTraining(linear(1), steps=4, inner_lr=Schedule(0.1, steps=4, knots=4))
    with torch.no_grad():
        run.rates.log_rate.copy_(torch.tensor([0.1, 0.2, 0.05, 0.3]).log())
    task = qs.Examples(torch.ones(2, 1), torch.zeros(2, 1))
    loss, gradient = qs.meta_gradient(run, [qs.Episode(task, task)])
    a = run.rates.log_rate.detach().exp()
    want = 2 * loss * -2 * a / (1 - 2 * a)
    torch.testing.assert_close(gradient["rates.log_rate"], want, rtol=1e-10, atol=1e-13)
    stale = want.roll(1)  # the control: every step with the rate of the one before
    assert (gradient["rates.log_rate"] - stale).abs().max() > 0.1 * want.abs().max()


# ---- label smoothing -----------------------------------------------------------------------------------------------------


def test_label_smoothing_is_torchs_and_its_derivative_is_exact():
    """dl/deps = mean_k(-ln p_k) + ln p_y, times eps (1 - eps) by the sigmoid."""
    loss, f, y = LabelSmoothing(0.25), torch.randn(6, 4), torch.arange(6) % 4
    eps = float(loss.logit.detach().sigmoid())
    assert eps == pytest.approx(0.25, rel=1e-6)
    torch.testing.assert_close(loss(f, y), F.cross_entropy(f, y, label_smoothing=eps))
    (got,) = torch.autograd.grad(loss(f, y), loss.logit)
    p = f.log_softmax(1)
    want = (-p.mean(1) + p.gather(1, y[:, None])[:, 0]).mean() * eps * (1 - eps)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-13)
    assert abs(float(want)) > 1e-3


# ---- dropout -------------------------------------------------------------------------------------------------------------


def dropped():
    return nn.Sequential(nn.Linear(4, 400), nn.Dropout(0.5), nn.Linear(400, 2))


def hidden_units(run, seed, x, t=0):
    """What the dropout makes of ones."""
    state = {"seed": torch.tensor(seed), "t": torch.tensor(t)}
    with run._forward(state):
        return F.dropout(x)


def test_concrete_dropout_drops_its_rate_and_keeps_the_mean():
    run = LearnedTraining(dropped(), dropout=ConcreteDropout(0.3, temperature=0.01))
    out = torch.cat([hidden_units(run, seed, torch.ones(50, 100)) for seed in range(4)]).detach()
    assert abs(float((out < 0.1).double().mean()) - 0.3) < 4 * (0.21 / 20000) ** 0.5
    assert abs(float(out.mean()) - 1) < 0.02
    again, other, later = (hidden_units(run, *which).detach() for which in (
        (0, torch.ones(50, 100)), (1, torch.ones(50, 100)), (0, torch.ones(50, 100), 1)))  # fmt: skip
    assert torch.equal(again, out[:50])
    assert not torch.equal(other, again)
    assert not torch.equal(later, again)


def test_concrete_dropout_by_its_equation_and_off_where_it_answers():
    part = ConcreteDropout(0.3, temperature=0.5)
    run = LearnedTraining(dropped(), dropout=part)
    x = torch.rand(5, 3) + 0.5
    out = hidden_units(run, 3, x)
    p = part.rates[0]
    z = 1 - out / x * (1 - p)
    u = torch.sigmoid(0.5 * torch.logit(z) - torch.logit(p))  # the uniform number behind it
    assert bool(((u > 0) & (u < 1)).all())
    (got,) = torch.autograd.grad(out.sum(), part.logit)
    dz = z * (1 - z) / 0.5
    want = (x * (-dz / (1 - p) + (1 - z) * p / (1 - p))).sum()  # d(1 - p)^-1 / dphi = p / (1 - p)
    torch.testing.assert_close(got[0], want.detach(), rtol=1e-9, atol=1e-12)
    support = qs.Examples(torch.randn(6, 4), torch.arange(6) % 2, 2)
    state = run.init(support, 0)
    plain = torch.func.functional_call(dropped().eval(), state["theta"], (support.x,))
    torch.testing.assert_close(run.predict(state, support.x), plain)


def test_a_students_own_dropout_is_on_as_it_trains_and_off_as_it_answers():
    support = qs.Examples(torch.randn(6, 4), torch.arange(6) % 2, 2)
    run = LearnedTraining(dropped(), steps=2)
    state = run.init(support, 0)
    one = qs.Examples(support.x[:1], support.y[:1], 2)
    g = run.inner_gradient(state, one)["0.weight"]
    dropped_units = int((g == 0).all(1).sum())
    assert 150 < dropped_units < 250  # of 400, at a rate of 0.5
    later = run.inner_gradient({**state, "t": state["t"] + 1}, one)["0.weight"]
    assert not torch.equal((g == 0).all(1), (later == 0).all(1))
    quiet = nn.Sequential(nn.Linear(4, 400), nn.Identity(), nn.Linear(400, 2))
    want = torch.func.functional_call(quiet, state["theta"], (support.x,))
    torch.testing.assert_close(run.predict(state, support.x), want)


# ---- what is refused -----------------------------------------------------------------------------------------------------


def test_what_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"`WeightDecay\(initial\)`: expected a number above 0"):
        WeightDecay(0.0)
    with pytest.raises(errors.ArgumentError, match=r"`Schedule\(steps, knots\)`: .*got 3 and 4"):
        Schedule(steps=3, knots=4)
    with pytest.raises(errors.ArgumentError, match=r"`Schedule\(initial\)`"):
        Schedule(0.0)
    with pytest.raises(errors.ArgumentError, match=r"`LabelSmoothing\(initial\)`: expected between 0 and 1"):
        LabelSmoothing(0.0)
    with pytest.raises(errors.LabelError, match=r"`y`: expected class labels"):
        LabelSmoothing().each(torch.randn(3, 2), torch.randn(3, 2))
    with pytest.raises(errors.ArgumentError, match=r"`temperature`: expected a number above 0"):
        ConcreteDropout(temperature=0.0)
    with pytest.raises(errors.UnsupportedError, match=r"`dropout`: expected a student with 1 nn.Dropout layers, got one with 0"):
        LearnedTraining(linear(), dropout=ConcreteDropout())
