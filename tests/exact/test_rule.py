"""Inner rules: trajectories against torch.optim, meta-gradients against finite differences, and the proximal term."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend import SGD, Adam, Momentum
from quickstudy.learners.descend import rule as rules
from quickstudy.learners.descend.rule import clip_by_norm

RULES = {
    "sgd": (SGD(), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (Momentum(0.8), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8)),
    "nesterov": (
        Momentum(0.8, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    ),
    "adam": (Adam(), lambda p: torch.optim.Adam(p, lr=0.1)),
    "adam, no first moment": (
        Adam(b1=0.0, b2=0.9, eps=1e-4),
        lambda p: torch.optim.Adam(p, 0.1, (0.0, 0.9), 1e-4),
    ),
}


def small():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    support = qs.Examples(torch.randn(5, 3), torch.randn(5, 1))
    return network, qs.Episode(support, qs.Examples(torch.randn(6, 3), torch.randn(6, 1)))


@pytest.mark.parametrize("rule", RULES)
def test_trajectory_is_that_of_torch_optim(rule):
    """6 steps of adapt against 6 steps of torch's own optimizer on a copy. Control: plain SGD goes elsewhere."""
    ours, theirs = RULES[rule]
    network, episode = small()
    learner = qs.Descent(network, inner_lr=0.1, inner_steps=6, rule=ours)
    state = learner.adapt(episode.support).state.values
    copy = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    copy.load_state_dict(network.state_dict())
    optimizer = theirs(copy.parameters())
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.mse_loss(copy(episode.support.x), episode.support.y).backward()
        optimizer.step()
    for name, parameter in copy.named_parameters():
        torch.testing.assert_close(state["theta"][name], parameter.detach(), rtol=1e-10, atol=1e-12)
    if rule != "sgd":
        plain = qs.Descent(network, inner_lr=0.1, inner_steps=6).adapt(episode.support).state.values["theta"]
        assert any(far(plain[name], parameter.detach(), 0.01) for name, parameter in copy.named_parameters())


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_meta_gradient_by_finite_differences(rule, recompute):
    network, episode = small()
    learner = qs.Descent(
        network, inner_lr=0.1, inner_steps=3, rule=RULES[rule][0], hypergradient=qs.Unrolled(recompute=recompute)
    )
    assert_slopes_agree(finite_differences(learner, [episode]))


def test_momentum_closed_form():
    """m_1 = g_0, m_2 = mu g_0 + g_1, so t_2 = phi - a(1 + mu) g_0 - a g_1, and with J_1 = I - aA
    d t_2/d phi = I - a(1 + mu) A - a A J_1. Control: mu = 0."""
    task, network, a, mu = Quadratic(), line(), 0.3, 0.7
    phi = start(network)
    learner = qs.Descent(network, inner_lr=a, inner_steps=2, rule=Momentum(mu), loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    g0 = task.A @ (phi - task.c)
    g1 = task.A @ (phi - a * g0 - task.c)
    J = task.I - a * (1 + mu) * task.A - a * task.A @ task.M(a, 1)
    want = J.T @ task.query_gradient(phi - a * (1 + mu) * g0 - a * g1)
    torch.testing.assert_close(gradient["network.weight"][0], want, rtol=1e-12, atol=1e-12)
    assert far(want, task.M(a, 2) @ task.query_gradient(task.theta(phi, a, 2)))


# ---- Adam at zero ------------------------------------------------------------------------------------------------------


def dead_input():
    """The third feature is 0 in every example, so its weights get exactly zero gradient at every step."""
    network, episode = small()
    x = episode.support.x.clone()
    x[:, 2] = 0
    return network, qs.Episode(qs.Examples(x, episode.support.y), episode.query)


@pytest.mark.parametrize("recompute", [False, True])
def test_adam_is_finite_where_a_weight_gets_no_gradient(recompute):
    network, episode = dead_input()
    learner = qs.Descent(network, inner_lr=0.1, inner_steps=3, rule=Adam(), hypergradient=qs.Unrolled(recompute=recompute))
    _, gradient = qs.meta_gradient(learner, [episode])
    assert all(bool(one.isfinite().all()) for one in gradient.values())
    assert float(gradient["network.0.weight"][:, 2].abs().max()) > 1e-4  # the query still sees those weights
    assert_slopes_agree(finite_differences(learner, [episode]))


def test_a_naive_square_root_gives_nan(monkeypatch):
    """Control: with torch.sqrt, whose derivative at 0 is infinite, the same meta-gradient is NaN, and is reported."""
    monkeypatch.setattr(rules, "_safe_sqrt", torch.sqrt)
    network, episode = dead_input()
    with pytest.raises(errors.NotFiniteError, match=r"in task 0 of the batch.*network\.0\.weight"):
        qs.meta_gradient(qs.Descent(network, inner_lr=0.1, inner_steps=3, rule=Adam()), [episode])


# ---- clipping ----------------------------------------------------------------------------------------------------------


def test_clip_scales_to_the_norm_over_all_parameters():
    g = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}
    clipped = clip_by_norm(g, 2.0)  # the norm is 5
    torch.testing.assert_close(clipped, {name: one * 2 / 5 for name, one in g.items()})
    torch.testing.assert_close(clip_by_norm(g, 5.5), g)


def test_clip_is_differentiable_at_zero():
    """d/dg of the clipped g at g = 0 is the identity; a naive norm gives NaN there."""
    g = torch.zeros(3, requires_grad=True)
    (slope,) = torch.autograd.grad(clip_by_norm({"g": g}, 1.0)["g"].sum(), g)
    torch.testing.assert_close(slope, torch.ones(3))


def test_clipped_step_and_its_meta_gradient():
    """t_1 = phi - a n g/||g||, g = A(phi - c): dt/dphi = I - a n (I - gg'/||g||^2)/||g|| A. Control: unclipped MAML."""
    task, network, a, n = Quadratic(), line(), 0.3, 0.5
    phi = start(network)
    g = task.A @ (phi - task.c)
    assert float(g.norm()) > n
    unit = g / g.norm()
    J = task.I - a * n / g.norm() * (task.I - torch.outer(unit, unit)) @ task.A
    want = J.T @ task.query_gradient(phi - a * n * unit)
    learner = qs.MAML(network, inner_lr=a, loss=half_squares, clip=n)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    torch.testing.assert_close(gradient["network.weight"][0], want, rtol=1e-12, atol=1e-12)
    assert far(want, task.M(a, 1) @ task.query_gradient(task.theta(phi, a, 1)))
    assert_slopes_agree(finite_differences(learner, [task.episode]))


# ---- the proximal term -------------------------------------------------------------------------------------------------


def test_proximal_term_unrolled():
    """t_{k+1} = t_k - a [A(t_k - c) + l(t_k - phi)], so J_{k+1} = (I - a(A + lI)) J_k + a l I with J_0 = I: phi acts through
    the start and through the tie. Control: without the tie."""
    task, network, a, proximal_weight = Quadratic(), line(), 0.3, 0.8
    phi = start(network)
    learner = qs.Descent(network, inner_lr=a, inner_steps=3, proximal_weight=proximal_weight, loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    t, J = phi, task.I
    for _ in range(3):
        t = t - a * (task.A @ (t - task.c) + proximal_weight * (t - phi))
        J = (task.I - a * (task.A + proximal_weight * task.I)) @ J + a * proximal_weight * task.I
    want = J.T @ task.query_gradient(t)
    torch.testing.assert_close(gradient["network.weight"][0], want, rtol=1e-12, atol=1e-12)
    assert far(want, task.M(a, 3) @ task.query_gradient(task.theta(phi, a, 3)))
