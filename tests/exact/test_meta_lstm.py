"""Meta-LSTM against first-order MAML, and against the same equations by torch.autograd."""

import math

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners_descend import stirred
from tests.exact.quadratic import Quadratic, far, half_squares, line
from torch import nn
from torch.func import functional_call

import quickstudy as qs
from quickstudy import errors
from quickstudy.forward.context import Context
from quickstudy.learners.descend import LearnedRates
from quickstudy.learners.descend.meta_lstm import MetaLSTM, flat, unflat
from quickstudy.learners.functional import log_and_sign

A = 0.3


def gates_off(learner):
    """W_I = W_F = 0 and f = 1: sigmoid(40) is 1 in float64."""
    for gate in (learner.gate_i, learner.gate_f):
        nn.init.zeros_(gate.weight)
    nn.init.constant_(learner.gate_f.bias, 40.0)
    return learner


@pytest.mark.parametrize("k", [1, 3])
def test_without_gates_it_is_first_order_maml(k):
    """theta_t = theta_{t-1} - i g with a constant g: FOMAML; d/db_I is the rate's gradient times i(1 - i). Control: f = 0.9."""
    task, network = Quadratic(), line()
    learner = gates_off(MetaLSTM(network, inner_steps=k, inner_lr=A, loss=half_squares))
    first = qs.Descent(
        network,
        inner_lr=LearnedRates(A, per="tensor"),
        inner_steps=k,
        loss=half_squares,
        hypergradient=qs.FirstOrder(),
    )
    loss, want = qs.meta_gradient(first, [task.episode])
    got_loss, got = qs.meta_gradient(learner, [task.episode])
    torch.testing.assert_close(got_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got["descent.network.weight"], want["network.weight"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got["gate_i.bias"][0], want["rates.rate.0"] * A * (1 - A), rtol=1e-11, atol=1e-12)
    nn.init.constant_(learner.gate_f.bias, math.log(9.0))
    other = qs.meta_gradient(learner, [task.episode])[1]["descent.network.weight"]
    assert far(want["network.weight"], other, 0.02)


def by_hand(learner, episode, constant=True):
    """(1)-(7) with torch's own LSTMCell on each coordinate, by torch.autograd."""
    network, H = learner.descent.network, learner.hidden
    cell = nn.LSTMCell(4, H)
    weights = {
        "weight_ih": learner.input.weight,
        "weight_hh": learner.recur.weight,
        "bias_ih": learner.input.bias,
        "bias_hh": torch.zeros(4 * H),
    }
    like = dict(network.named_parameters())
    theta = flat(like)
    h = m = torch.zeros(len(theta), H)
    i = f = torch.zeros(len(theta), 1)
    s = lambda v: log_and_sign(v, learner.p)
    for _ in range(learner.inner_steps):
        L = F.cross_entropy(functional_call(network, unflat(theta, like), (episode.support.x,)), episode.support.y)
        (g,) = torch.autograd.grad(L, theta, create_graph=True)
        g, L = (g.detach(), L.detach()) if constant else (g, L)
        h, m = functional_call(cell, weights, (torch.cat([s(g), s(L).expand(len(g), 2)], 1), (h, m)))
        i = torch.sigmoid(torch.cat([h, theta[:, None], i], 1) @ learner.gate_i.weight.T + learner.gate_i.bias)
        f = torch.sigmoid(torch.cat([h, theta[:, None], f], 1) @ learner.gate_f.weight.T + learner.gate_f.bias)
        theta = f[:, 0] * theta - i[:, 0] * g
    return F.cross_entropy(functional_call(network, unflat(theta, like), (episode.query.x,)), episode.query.y)


def small():
    torch.manual_seed(3)
    learner = stirred(MetaLSTM(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), inner_steps=3, inner_lr=A, hidden=5))
    draw = lambda n: qs.Examples(torch.randn(3 * n, 4), torch.arange(3).repeat(n))
    return learner, qs.Episode(draw(2), draw(3))


def test_gradient_in_every_phi():
    """The start, both layers of the LSTM and both gates. Control: with g and L differentiated too it is another gradient."""
    learner, episode = small()
    loss, gradient = qs.meta_gradient(learner, [episode])
    phi = dict(learner.named_parameters())
    want, exact = by_hand(learner, episode), by_hand(learner, episode, constant=False)
    torch.testing.assert_close(loss, want.detach(), rtol=1e-12, atol=1e-12)
    direct = torch.autograd.grad(want, list(phi.values()))
    for name, one in zip(phi, direct, strict=True):
        assert float(one.abs().max()) > 1e-8, name
        torch.testing.assert_close(gradient[name], one, rtol=1e-8, atol=1e-12)
    assert far(gradient["descent.network.0.weight"], torch.autograd.grad(exact, phi["descent.network.0.weight"])[0], 0.01)


def test_gradient_in_the_gates_by_finite_differences():
    """With one step g and L do not depend on the gates, so taking them as constants is exact there."""
    learner, episode = small()
    learner.inner_steps = 1
    _, gradient = qs.meta_gradient(learner, [episode])
    for name, parameter in learner.named_parameters():
        if name.startswith("descent") or name == "recur.weight":  # h_0 = 0
            continue
        direction, losses = torch.randn_like(parameter), []
        for sign in (1, -2, 1):
            with torch.no_grad():
                parameter.add_(sign * 1e-5 * direction)
            losses.append(float(qs.meta_gradient(learner, [episode])[0]))
        slope = float((gradient[name] * direction).sum())
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-9), name
        assert abs(slope) > 1e-7, name


def test_preprocessing_by_hand():
    """p = 10: e^-10 = 4.54e-5. Its own derivative is never asked for, and its values are finite at 0."""
    got = log_and_sign(torch.tensor([math.exp(3.0), -math.exp(-2.0), 1e-6, -1e-7, 0.0]), 10.0)
    small = math.exp(10) * 1e-6
    want = [[0.3, 1.0], [-0.2, -1.0], [-1.0, small], [-1.0, -small / 10], [-1.0, 0.0]]
    torch.testing.assert_close(got, torch.tensor(want))
    assert log_and_sign(torch.tensor(2.0), 10.0).shape == (2,)


def test_every_coordinate_has_its_own_gates():
    """Two coordinates with gradients of another magnitude go another share of the way."""
    learner, episode = small()
    with torch.no_grad():
        learner.gate_i.weight.normal_()
    theta, memory = learner.step(learner.descent.initial(), None, 0, episode.support, Context())
    i = memory["i"].detach()
    assert float(i.std()) > 0.01
    assert bool(((i > 0) & (i < 1)).all())
    again = learner.step(theta, memory, 1, episode.support, Context())[1]
    assert not torch.equal(again["h"], memory["h"])


def test_it_begins_with_the_rate_and_the_share_given():
    learner = MetaLSTM(nn.Linear(3, 2), inner_lr=0.2, keep=0.95)
    assert torch.sigmoid(learner.gate_i.bias).item() == pytest.approx(0.2)
    assert torch.sigmoid(learner.gate_f.bias).item() == pytest.approx(0.95)


def test_steps_at_test_and_what_adapts():
    learner, episode = small()
    state = lambda steps=None: learner.copied().state(episode.support, Context(), steps)
    states = [state(steps).values["theta"]["0.weight"] for steps in (0, 3, 5)]
    assert torch.equal(states[0], learner.descent.network[0].weight)
    torch.testing.assert_close(states[1], state().values["theta"]["0.weight"])
    assert far(states[1].detach(), states[2].detach(), 0.01)
    assert set(learner.adapted(state())) <= {name for name, _ in learner.named_parameters()}


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`inner_lr`: expected a number between 0 and 1, got 1.5"):
        MetaLSTM(line(), inner_lr=1.5)
    with pytest.raises(errors.ArgumentError, match=r"`keep`: expected a number between 0 and 1, got 1"):
        MetaLSTM(line(), keep=1.0)
    with pytest.raises(errors.ArgumentError, match="inner_steps"):
        MetaLSTM(line(), inner_steps=-1)
