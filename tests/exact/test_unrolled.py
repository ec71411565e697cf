"""The unrolled meta-gradient against its closed form."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start
from torch import nn
from torch.func import functional_call

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend import LearnedRates


@pytest.mark.parametrize("k", [1, 3])
def test_maml_gradient_is_M_B_tk_minus_d(k):
    """t_k = c + M(phi - c), so d t_k/d phi = M, and d/dphi of 1/2 (t_k - d)'B(t_k - d) is M' B (t_k - d); M is symmetric.

    Two tasks, whose mean it is. Control: without M (the first-order answer) it is something else.
    """
    tasks, network, a = [Quadratic(0), Quadratic(1)], line(), 0.3
    phi = start(network)
    learner = qs.MAML(network, inner_lr=a, inner_steps=k, loss=half_squares)
    loss, gradient = qs.meta_gradient(learner, [task.episode for task in tasks])
    ends = [task.theta(phi, a, k) for task in tasks]
    exact = sum(task.M(a, k) @ task.query_gradient(t) for task, t in zip(tasks, ends, strict=True)) / 2
    torch.testing.assert_close(gradient["network.weight"][0], exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss, sum(task.query_loss(t) for task, t in zip(tasks, ends, strict=True)) / 2)
    without_M = sum(task.query_gradient(t) for task, t in zip(tasks, ends, strict=True)) / 2
    assert far(exact, without_M)


def test_no_inner_step_is_the_plain_gradient():
    """K = 0: t = phi, so the gradient is B(phi - d)."""
    task, network = Quadratic(), line()
    _, gradient = qs.meta_gradient(qs.MAML(network, inner_lr=0.3, inner_steps=0, loss=half_squares), [task.episode])
    torch.testing.assert_close(gradient["network.weight"][0], task.query_gradient(start(network)))


def test_outer_loss_need_not_be_the_inner_one():
    """The outer criterion 3 x the inner one makes the gradient 3 times as long, the path being the same."""
    task, network = Quadratic(), line()
    learner = qs.MAML(network, inner_lr=0.3, inner_steps=2, loss=half_squares)
    _, once = qs.meta_gradient(learner, [task.episode])
    _, thrice = qs.meta_gradient(learner, [task.episode], loss=lambda p, y: 3 * half_squares(p, y))
    torch.testing.assert_close(thrice["network.weight"], 3 * once["network.weight"])


def test_nonlinear_network_by_gradcheck():
    """torch's own gradcheck of phi -> query loss, through 2 steps of a tanh network with cross-entropy."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    learner = qs.MAML(network, inner_lr=0.5, inner_steps=2)
    episode = qs.Episode(
        qs.Examples(torch.randn(4, 2), torch.tensor([0, 1, 0, 1])), qs.Examples(torch.randn(3, 2), torch.tensor([0, 1, 1]), 2)
    )
    names = [name for name, _ in learner.named_parameters()]
    phi = [parameter.detach().clone().requires_grad_() for parameter in learner.parameters()]

    def loss(*values):
        prediction = functional_call(learner, dict(zip(names, values, strict=True)), (episode.support, episode.query.x))
        return learner.criterion_of(episode.query)(prediction, episode.query.y)

    assert torch.autograd.gradcheck(loss, phi)
    direct = torch.autograd.grad(loss(*phi), phi)
    _, gradient = qs.meta_gradient(learner, [episode])
    for name, one in zip(names, direct, strict=True):
        torch.testing.assert_close(gradient[name], one, rtol=1e-12, atol=1e-13)


def test_every_phi_by_finite_differences():
    """A body that stands still, a head that adapts, learned rates: each has a slope, and the gradient has it."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    learner = qs.MAML(network, inner_lr=LearnedRates(0.2), inner_steps=3, adapts="2.*")
    episode = qs.Episode(qs.Examples(torch.randn(5, 3), torch.randn(5, 1)), qs.Examples(torch.randn(6, 3), torch.randn(6, 1)))
    assert_slopes_agree(finite_differences(learner, [episode]))


def test_finite_differences_catch_a_wrong_gradient():
    """Control of the test above: a first-order gradient does not have the slopes."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    learner = qs.MAML(network, inner_lr=0.5, inner_steps=3, hypergradient=qs.FirstOrder())
    episode = qs.Episode(qs.Examples(torch.randn(5, 3), torch.randn(5, 1)), qs.Examples(torch.randn(6, 3), torch.randn(6, 1)))
    slopes = finite_differences(learner, [episode])
    assert any(abs(ours - differences) > 0.02 * abs(differences) for ours, differences in slopes.values())


@pytest.mark.parametrize("hypergradient", [qs.Unrolled(), qs.FirstOrder()], ids=repr)
def test_step_weights_sum_the_losses_after_each_step(hypergradient):
    """L = sum_t w_t Q(t_t), so dL/dphi = sum_t w_t M_t B(t_t - d); first order drops each M_t. Control: the last loss alone."""
    task, network, a, weights = Quadratic(), line(), 0.3, (0.5, 0.0, 1.5, 2.0)
    phi = start(network)
    learner = qs.MAML(network, inner_lr=a, inner_steps=3, loss=half_squares, hypergradient=hypergradient, step_weights=weights)
    loss, gradient = qs.meta_gradient(learner, [task.episode])
    ends = [task.theta(phi, a, t) for t in range(4)]
    factors = [task.M(a, t) if hypergradient.second_order else task.I for t in range(4)]
    terms = [w * M @ task.query_gradient(t) for w, M, t in zip(weights, factors, ends, strict=True)]
    torch.testing.assert_close(loss, sum(w * task.query_loss(t) for w, t in zip(weights, ends, strict=True)))
    torch.testing.assert_close(gradient["network.weight"][0], sum(terms), rtol=1e-12, atol=1e-12)
    assert far(sum(terms), terms[-1])


def test_step_weights_refuse_a_wrong_length_and_a_hypergradient_of_the_last_state():
    with pytest.raises(errors.ArgumentError, match=r"step_weights.*expected 3 weights.*got 2"):
        qs.MAML(line(), inner_steps=2, step_weights=(0, 1))
    with pytest.raises(errors.UnsupportedError, match=r"step_weights.*Truncated\(k=1\).*Use Unrolled\(\) or FirstOrder"):
        qs.MAML(line(), inner_steps=2, hypergradient=qs.Truncated(1), step_weights=(0, 0, 1))
