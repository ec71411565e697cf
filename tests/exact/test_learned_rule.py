"""Learned update rules against hand-written ones: the step, and the gradient of an unroll."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.meta.executors.networks import assert_same
from tests.meta.runs import over_the_run, streams
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.hyperparameters import WeightDecay
from quickstudy.learners.bilevel.learned_mlp_rule import MLPRule, scaled
from quickstudy.learners.bilevel.learned_momentum import LearnedMomentum
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.descend import LearnedRates
from quickstudy.learners.functional import log_and_sign
from quickstudy.meta.estimators.backprop import Backprop

P = 10.0


def student():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def examples(n=7):
    return qs.Examples(torch.randn(n, 4), torch.arange(n) % 2, 2)


# ---- (1) ---------------------------------------------------------------------------------------------------------------


def test_log_and_sign_by_its_definition():
    g = torch.tensor([1.0, -1.0, 0.5, -1e-3, math.exp(-10), 1e-6, -2e-7, 0.0, 3e4])
    want = []
    for one in g.tolist():
        want.append((math.log(abs(one)) / P, math.copysign(1, one)) if abs(one) >= math.exp(-P) else (-1, math.exp(P) * one))
    torch.testing.assert_close(log_and_sign(g, P), torch.tensor(want), rtol=1e-13, atol=1e-13)


def test_log_and_sign_has_a_finite_derivative_everywhere():
    g = torch.tensor([0.3, -2.0, 1e-6, -3e-6], requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: log_and_sign(g, P), g, eps=1e-9, atol=1e-4)
    zero = torch.zeros(3, requires_grad=True)
    (found,) = torch.autograd.grad(log_and_sign(zero, P).sum(), zero)
    torch.testing.assert_close(found, torch.full((3,), math.exp(P)))
    naive = torch.stack([zero.abs().log() / P, zero.sign()], -1)  # the control
    assert not torch.isfinite(torch.autograd.grad(naive.sum(), zero)[0]).all()


# ---- (2), (3): the step against torch's own cells ------------------------------------------------------------------------


class ByHand(nn.Module):
    """The rule upon torch.nn.LSTMCell, weight by weight."""

    def __init__(self, rule: LSTMRule, scale: float = 0.1):
        super().__init__()
        self.scale = scale
        self.cells = nn.ModuleList()
        for own in rule.cells:
            cell = nn.LSTMCell(own.inputs, own.hidden)
            cell.load_state_dict(own.state_dict())
            self.cells.append(cell)
        self.out = nn.Linear(rule.hidden, 1)
        self.out.load_state_dict(rule.out.state_dict())

    def step(self, theta, g, states):
        after, new = [], []
        for p, one, state in zip(theta, g, states, strict=True):
            q = one.reshape(-1)
            large = q.abs() >= math.exp(-P)
            safe = torch.where(large, q.abs(), torch.ones_like(q))
            z = torch.stack([torch.where(large, safe.log() / P, -torch.ones_like(q)),
                             torch.where(large, q.sign(), math.exp(P) * q)], 1)  # fmt: skip
            own = []
            for cell, (h, c) in zip(self.cells, state, strict=True):
                h, c = cell(z, (h, c))
                z = h
                own.append((h, c))
            after.append(p + self.scale * self.out(z).reshape(p.shape))
            new.append(own)
        return after, new

    def init(self, theta):
        zeros = lambda p, cell: torch.zeros(p.numel(), cell.hidden_size)
        return [[(zeros(p, cell), zeros(p, cell)) for cell in self.cells] for p in theta]


@pytest.mark.parametrize(("layers", "given"), [(1, {}), (2, {}), (2, {"scale": 0.02})])
def test_a_step_is_that_of_torchs_cells(layers, given):
    rule = LSTMRule(5, layers, **given)
    hand = ByHand(rule, **given)
    theta = {"a": torch.randn(3, 2), "b": torch.randn(4)}
    state, states = rule.init(theta), hand.init(theta.values())
    values = list(theta.values())
    for _ in range(3):
        g = {name: torch.randn_like(p) for name, p in theta.items()}
        theta, state = rule(theta, g, state)
        values, states = hand.step(values, g.values(), states)
    for got, want in zip(theta.values(), values, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-14)
    forgetful = rule(theta, g, rule.init(theta))[0]  # the control: a state that is not carried
    assert any((forgetful[name] - rule(theta, g, state)[0][name]).abs().max() > 1e-6 for name in theta)


def unrolled_by_hand(run, hand, batches, held_out, seed, keep):
    """d/dphi of the mean held-out loss over three steps, plain torch.autograd all the way."""
    theta = [p.clone().requires_grad_() for p in run.init(None, seed)["theta"].values()]
    states, net, total = hand.init(theta), student(), 0.0
    names = [name for name, _ in net.named_parameters()]

    def loss(theta, batch):
        return F.cross_entropy(torch.func.functional_call(net, dict(zip(names, theta, strict=True)), (batch.x,)), batch.y)

    for batch, own in zip(batches, held_out, strict=True):
        g = torch.autograd.grad(loss(theta, batch), theta, create_graph=True)
        theta, states = hand.step(theta, g if keep else [one.detach() for one in g], states)
        total = total + loss(theta, own) / len(batches)
    return torch.autograd.grad(total, list(hand.parameters()))


@pytest.mark.parametrize("keep", [False, True])
def test_the_gradient_of_an_unroll_is_the_hand_written_one(keep):
    rule = LSTMRule(5, keep_gradients=keep)
    run = LearnedTraining(student(), steps=3, rule=rule)
    batches, held_out = ([examples() for _ in range(3)] for _ in range(2))
    state, losses = run.init(None, 3), []
    for batch, own in zip(batches, held_out, strict=True):
        state = run.step(state, batch)
        losses.append(run.objective(state, own))
    got = torch.autograd.grad(sum(losses) / 3, list(rule.parameters()))
    hand = ByHand(rule)
    want = unrolled_by_hand(run, hand, batches, held_out, 3, keep)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)
    wrong = unrolled_by_hand(run, hand, batches, held_out, 3, not keep)  # the control: the other way of taking gradients
    assert max(float((one - other).abs().max()) for one, other in zip(got, wrong, strict=True)) > 1e-6


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", [LSTMRule, MLPRule])
def test_executors_agree_on_the_windows_of_a_run(kind, keep):
    """Loop and vmap, orders 1 and 2, the state carried over three windows."""
    run = LearnedTraining(nn.Linear(4, 1), steps=6, rule=kind(4, keep_gradients=keep))
    want, losses = over_the_run(Backprop(), run, streams(2).train, 3)
    got, others = over_the_run(Backprop(), run, streams(2).train, 3, executor="vmap")
    for one, other in zip(want, got, strict=True):
        assert_same(other, one, 1e-9)
    torch.testing.assert_close(torch.stack(losses), torch.stack(others))


def test_a_rule_sees_every_tensor_alone():
    """What an optimizer relies on. The control: a rule that normalises over the whole network does not."""
    theta = {"a": torch.randn(3, 2), "b": torch.randn(4)}
    g = {name: torch.randn_like(p) for name, p in theta.items()}
    for rule in (LSTMRule(5), MLPRule(5), LearnedMomentum(["a", "b"]), LearnedMomentum()):
        both, _ = rule(theta, g, rule.init(theta))
        for name, p in theta.items():
            one, _ = rule({name: p}, {name: g[name]}, rule.init({name: p}))
            torch.testing.assert_close(one[name], both[name], rtol=1e-13, atol=1e-14)
    together = scaled(torch.cat([g["a"].reshape(1, -1), g["b"].reshape(1, -1)], 1))
    assert (together[0, :6] - scaled(g["a"].reshape(1, -1))[0]).abs().max() > 1e-3


# ---- the MLP rule --------------------------------------------------------------------------------------------------------


def test_a_step_of_the_mlp_rule_by_hand():
    rule = MLPRule(5, decays=(0.5, 0.9), scale=0.02)
    theta, m, t = {"a": torch.randn(3, 2)}, torch.zeros(2, 6), 0
    state, p = rule.init(theta), theta["a"].reshape(-1)
    for _ in range(3):
        g = torch.randn(3, 2)
        theta, state = rule(theta, {"a": g}, state)
        m = torch.stack([b * one + (1 - b) * g.reshape(-1) for b, one in zip((0.5, 0.9), m, strict=True)])
        rows = [one / one.square().mean().sqrt() for one in (p, g.reshape(-1), *m)]
        rows += [torch.full((6,), math.tanh(t / time)) for time in (3, 10, 30, 100, 300, 1000, 3000)]
        out = rule.mlp(torch.stack(rows, 1))
        p, t = p - 0.02 * out[:, 0] * (out[:, 1] / 10).exp(), t + 1
    torch.testing.assert_close(theta["a"].reshape(-1), p, rtol=1e-12, atol=1e-13)


def test_scaling_the_loss_changes_no_step_of_the_mlp_rule():
    theta = {"a": torch.randn(3, 2)}
    g, rule = {"a": torch.randn(3, 2)}, MLPRule(5)
    step = lambda rule, factor: rule(theta, {"a": factor * g["a"]}, rule.init(theta))[0]["a"]
    torch.testing.assert_close(step(rule, 1e4), step(rule, 1.0), rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(step(rule, 1e-9), step(rule, 1.0), rtol=1e-12, atol=1e-13)
    assert (step(LearnedMomentum(), 1e4) - step(LearnedMomentum(), 1.0)).abs().max() > 1  # the control


def test_a_tensor_of_zeros_has_a_moderate_derivative():
    z = torch.zeros(1, 4, requires_grad=True)
    assert torch.autograd.grad(scaled(z).sum(), z)[0].tolist() == [[1.0] * 4]


# ---- learned momentum ----------------------------------------------------------------------------------------------------


def test_learned_momentum_steps_like_torch():
    net = student()
    run = LearnedTraining(net, rule=LearnedMomentum(lr=0.2, momentum=0.8), steps=4)
    batch, state = examples(), run.init(None, 0)
    for (_, p), value in zip(net.named_parameters(), state["theta"].values(), strict=True):
        p.data.copy_(value)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.8)
    for _ in range(4):
        state = run.step(state, batch)
        optimizer.zero_grad()
        F.cross_entropy(net(batch.x), batch.y).backward()
        optimizer.step()
    for p, value in zip(net.parameters(), state["theta"].values(), strict=True):
        torch.testing.assert_close(value, p.detach(), rtol=1e-6, atol=1e-8)  # 0.2 and 0.8 by logarithm and logit, in float32


def test_the_gradients_of_rate_and_momentum_in_closed_form():
    """L = c/2 theta^2: theta_2 = theta_0 (1 - 2ac - a mu c + a^2 c^2); d/da and d/dmu of theta_2^2 / 2 by hand."""
    c, start = 0.7, torch.tensor([1.5])
    rule = LearnedMomentum(lr=0.3, momentum=0.6).double()
    theta = {"w": start}
    state = rule.init(theta)
    for _ in range(2):
        theta, state = rule(theta, {"w": c * theta["w"]}, state)
    got = torch.autograd.grad((theta["w"] ** 2 / 2).sum(), [rule.log_rate, rule.logit_momentum])
    a, mu = (float(one.detach()) for one in rule.of("w"))
    end = 1.5 * (1 - 2 * a * c - a * mu * c + a**2 * c**2)
    want = end * 1.5 * (-2 * c - mu * c + 2 * a * c**2) * a, end * 1.5 * (-a * c) * mu * (1 - mu)
    torch.testing.assert_close(torch.stack(got), torch.tensor(want), rtol=1e-12, atol=1e-13)
    one_step = end * 1.5 * (-c - mu * c) * a  # the control: without the derivative through the first gradient
    assert abs(one_step - want[0]) > 0.1


# ---- what is refused -----------------------------------------------------------------------------------------------------


def test_what_rules_refuse():
    with pytest.raises(errors.ArgumentError, match=r"`layers`: expected 1 or more, got 0"):
        LSTMRule(layers=0)
    with pytest.raises(errors.ArgumentError, match=r"`p`: expected a number above 0"):
        LSTMRule(p=0)
    with pytest.raises(errors.ArgumentError, match=r"`decays`: expected numbers from 0 to below 1"):
        MLPRule(decays=(1.0,))
    with pytest.raises(errors.ArgumentError, match=r"`lr`: expected a number above 0"):
        LearnedMomentum(lr=0.0)
    with pytest.raises(errors.ArgumentError, match=r"a tensor among \['a'\], got 'b'"):
        LearnedMomentum(["a"]).of("b")
    with pytest.raises(errors.UnsupportedError, match=r"`decay`: .*acts through the gradient.*LSTMRule\(keep_gradients=True\)"):
        LearnedTraining(student(), rule=LSTMRule(4), decay=WeightDecay(0.1))
    with pytest.raises(errors.UnsupportedError, match=r"`inner_lr`: .*Use Schedule"):
        LearnedTraining(student(), inner_lr=LearnedRates(per_step=True))
