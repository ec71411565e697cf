"""Reptile's direction against its closed form."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, far, half_squares, line, start
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.meta.executors import Threads


@pytest.mark.parametrize("k", [1, 3])
def test_direction_is_phi_minus_tk(k):
    """phi - t_k = phi - c - M(phi - c) = (I - M)(phi - c); its loss is half its squared length.

    For k = 1 it is a x the support gradient, a A(phi - c); for more steps it must not be (nor k times that).
    """
    task, network, a = Quadratic(), line(), 0.3
    phi = start(network)
    learner = qs.Descent(network, inner_lr=a, inner_steps=k, loss=half_squares)
    loss, gradient = qs.meta_gradient(learner, [task.episode], estimator=ReptileDirection())
    exact = (task.I - task.M(a, k)) @ (phi - task.c)
    torch.testing.assert_close(gradient["network.weight"][0], exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss, exact @ exact / 2)
    one_step = a * task.A @ (phi - task.c)
    if k == 1:
        torch.testing.assert_close(exact, one_step)
    else:
        assert far(exact, one_step)
        assert far(exact, k * one_step)


def test_all_examples_trains_on_the_query_too():
    """One step on support and query together: phi - t_1 = a (A(phi - c) + B(phi - d)). Control: the support alone."""
    task, network, a = Quadratic(), line(), 0.1
    phi = start(network)
    learner = qs.Descent(network, inner_lr=a, inner_steps=1, loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode], estimator=ReptileDirection(all_examples=True))
    exact = a * (task.A @ (phi - task.c) + task.B @ (phi - task.d))
    torch.testing.assert_close(gradient["network.weight"][0], exact)
    assert far(exact, a * task.A @ (phi - task.c))


@pytest.mark.parametrize("executor", ["loop", Threads(2), "vmap"])
def test_direction_of_an_outer_step(executor):
    """An outer SGD of rate epsilon moves phi to phi + epsilon (mean of t_k - phi): what Reptile's algorithm 1 says."""
    tasks, network, a, epsilon = [Quadratic(0), Quadratic(1)], line(), 0.3, 0.5
    phi = start(network)
    learner = qs.Descent(network, inner_lr=a, inner_steps=2, loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode for task in tasks], estimator=ReptileDirection(), executor=executor)
    ends = sum(task.theta(phi, a, 2) for task in tasks) / 2
    torch.testing.assert_close(phi - epsilon * gradient["network.weight"][0], phi + epsilon * (ends - phi))


def test_what_does_not_adapt_has_no_direction():
    """A parameter outside `adapts` is no part of theta, so its direction is 0."""
    network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
    learner = qs.Descent(network, inner_lr=0.3, inner_steps=2, adapts="2.*")
    _, gradient = qs.meta_gradient(learner, [Quadratic().episode], estimator=ReptileDirection())
    assert float(gradient["network.0.weight"].abs().max()) == 0
    assert float(gradient["network.2.weight"].abs().max()) > 0


def test_a_learner_that_adapts_no_parameters_is_refused():
    episode = qs.Episode(qs.Examples(torch.randn(2, 4), torch.arange(2)), qs.Examples(torch.randn(2, 4), torch.arange(2)))
    with pytest.raises(errors.UnsupportedError, match=r"`estimator`.*Prototypical.*adapts no parameters.*Use Backprop\(\)"):
        qs.meta_gradient(qs.Prototypical(nn.Linear(4, 3)), [episode], estimator=ReptileDirection())
