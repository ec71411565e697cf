"""Learned step sizes against their closed form."""

import pytest
import torch
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start

import quickstudy as qs
from quickstudy.learners.descend import SGD, Adam, LearnedRates, Momentum

A = 0.3


def test_meta_sgd_rate_gradient_for_one_step():
    """t_1 = phi - alpha o A(phi - c), so d t_1/d alpha = -diag(A(phi - c)), and the gradient of the query loss in alpha is
    -A(phi - c) o B(t_1 - d), a number for each weight; in phi it is (I - A diag(alpha)) B(t_1 - d). Control: without A."""
    task, network = Quadratic(), line()
    phi = start(network)
    _, gradient = qs.meta_gradient(qs.MetaSGD(network, inner_lr=A, loss=half_squares), [task.episode])
    outer = task.query_gradient(task.theta(phi, A, 1))
    g = task.A @ (phi - task.c)
    torch.testing.assert_close(gradient["rates.rate.0"][0], -g * outer, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient["network.weight"][0], task.M(A, 1) @ outer, rtol=1e-12, atol=1e-12)
    assert far(-g * outer, -(phi - task.c) * outer)


def test_rate_gradient_for_two_steps():
    """d t_2/d alpha = -diag(g_1) - (I - aA) diag(g_0), g_t = A(t_t - c) (all rates equal a here). Transposed onto B(t_2 - d):
    -g_1 o o - g_0 o (M o), with o = B(t_2 - d). Control, the stale step: only the last step's term, -g_1 o o."""
    task, network = Quadratic(), line()
    phi = start(network)
    _, gradient = qs.meta_gradient(qs.MetaSGD(network, inner_lr=A, inner_steps=2, loss=half_squares), [task.episode])
    g = [task.A @ (task.theta(phi, A, t) - task.c) for t in range(2)]
    outer = task.query_gradient(task.theta(phi, A, 2))
    want = -g[1] * outer - g[0] * (task.M(A, 1) @ outer)
    torch.testing.assert_close(gradient["rates.rate.0"][0], want, rtol=1e-12, atol=1e-12)
    assert far(want, -g[1] * outer)


def test_a_rate_per_tensor_is_the_sum_over_its_weights():
    task, network = Quadratic(), line()
    gradients = [
        qs.meta_gradient(
            qs.MAML(network, inner_lr=LearnedRates(A, per=per), inner_steps=2, loss=half_squares),
            [task.episode],
        )[1]["rates.rate.0"]
        for per in ("tensor", "element")
    ]
    torch.testing.assert_close(gradients[0], gradients[1].sum())


@pytest.mark.parametrize("rule", [SGD(), Momentum(), Adam()], ids=repr)
@pytest.mark.parametrize("recompute", [False, True])
def test_rates_by_finite_differences(rule, recompute):
    """Every rule takes its step size as part of phi."""
    learner = qs.Descent(
        line(),
        inner_lr=LearnedRates(0.2),
        inner_steps=3,
        rule=rule,
        loss=half_squares,
        hypergradient=qs.Unrolled(recompute=recompute),
    )
    assert_slopes_agree(finite_differences(learner, [Quadratic().episode]))


def test_a_constant_rate_is_a_buffer():
    """A constant is no part of phi, and may change during a run without a new compilation."""
    task, network = Quadratic(), line()
    learner = qs.MAML(network, inner_lr=A, loss=half_squares)
    assert [name for name, _ in learner.named_parameters()] == ["network.weight"]
    learner.rates.rate.fill_(2 * A)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    want = task.M(2 * A, 1) @ task.query_gradient(task.theta(start(network), 2 * A, 1))
    torch.testing.assert_close(gradient["network.weight"][0], want)
