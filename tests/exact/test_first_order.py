"""The first-order meta-gradient against its closed form."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, far, half_squares, line, nodes, start
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.descend import LearnedRates


@pytest.mark.parametrize("k", [1, 3])
def test_fomaml_gradient_is_B_tk_minus_d(k):
    """With inner gradients as constants d t_k/d phi = I, so the gradient is B(t_k - d) at the true t_k.

    Controls: MAML's M B(t_k - d), and the gradient at phi (which ignores adaptation), are something else.
    """
    task, network, a = Quadratic(), line(), 0.3
    phi = start(network)
    _, gradient = qs.meta_gradient(qs.FOMAML(network, inner_lr=a, inner_steps=k, loss=half_squares), [task.episode])
    exact = task.query_gradient(task.theta(phi, a, k))
    torch.testing.assert_close(gradient["network.weight"][0], exact, rtol=1e-12, atol=1e-12)
    assert far(exact, task.M(a, k) @ exact)
    assert far(exact, task.query_gradient(phi))


def test_it_equals_maml_where_the_support_is_flat():
    """A = 0 (a support of zeros) makes M = I, where first order is exact."""
    task, network = Quadratic(), line()
    flat = qs.Episode(qs.Examples(torch.zeros_like(task.episode.support.x), task.episode.support.y), task.episode.query)
    one, other = (
        qs.meta_gradient(recipe(network, inner_lr=0.3, inner_steps=2, loss=half_squares), [flat])[1]["network.weight"]
        for recipe in (qs.FOMAML, qs.MAML)
    )
    torch.testing.assert_close(one, other)


def test_learned_rates_keep_their_own_term():
    """theta_{t+1} = theta_t - alpha o stop(g_t): d theta_K/d alpha = -sum_t diag(stop(g_t)). For k = 2 on the quadratic task
    g_t = A(t_t - c), so the gradient is -(g_0 + g_1) o B(t_2 - d). Control: the last step's term alone."""
    task, network, a = Quadratic(), line(), 0.3
    phi = start(network)
    learner = qs.Descent(network, inner_lr=LearnedRates(a), inner_steps=2, hypergradient=qs.FirstOrder(), loss=half_squares)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    g = [task.A @ (task.theta(phi, a, t) - task.c) for t in range(2)]
    outer = task.query_gradient(task.theta(phi, a, 2))
    torch.testing.assert_close(gradient["rates.rate.0"][0], -(g[0] + g[1]) * outer, rtol=1e-12, atol=1e-12)
    assert far(-(g[0] + g[1]) * outer, -g[1] * outer)


def test_it_keeps_no_graph_of_the_inner_gradient():
    """What makes it cheap: a first-order descent must hold no second derivative. Control: the unrolled one does."""
    task = Quadratic()

    def size(hypergradient):
        network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))
        learner = qs.MAML(network, inner_steps=4, hypergradient=hypergradient)
        return nodes(learner.loss(task.episode))

    assert size(qs.FirstOrder()) < size(qs.Unrolled()) / 3


def test_a_learned_loss_is_refused():
    """phi of a learned loss acts only through the inner gradient, which first order takes as a constant."""

    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, prediction, y):
            return self.scale * half_squares(prediction, y)

    with pytest.raises(errors.UnsupportedError, match=r"`hypergradient`.*learned loss.*FirstOrder\(\).*Unrolled\(\)"):
        qs.MAML(line(), loss=Learned(), hypergradient=qs.FirstOrder())
    task = Quadratic()
    learner = qs.MAML(line(), loss=Learned(), inner_lr=0.3)
    _, gradient = qs.meta_gradient(learner, [task.episode], loss=half_squares)
    phi = start(learner.network)
    exact = -(0.3 * task.A @ (phi - task.c)) @ task.query_gradient(task.theta(phi, 0.3, 1))
    torch.testing.assert_close(gradient["loss_function.scale"], exact)
