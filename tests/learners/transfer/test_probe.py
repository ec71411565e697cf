"""The probe's head is the optimum of a convex problem: an independent solver finds the same."""

import pytest
import torch
import torch.nn.functional as F
from tests.learners.transfer.classes import episode
from torch import nn

from quickstudy.errors import ArgumentError
from quickstudy.learners.solve.newton import logistic_regression
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.learners.transfer.probe import Probe


def objective(w, z, y, penalty):
    return F.cross_entropy(z @ w.T, y, reduction="sum") + penalty / 2 * (w**2).sum()


def by_lbfgs(z, y, ways, penalty):
    w = torch.zeros(ways, z.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([w], max_iter=2000, tolerance_grad=1e-11, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        value = objective(w, z, y, penalty)
        value.backward()
        return value

    solver.step(closure)
    return w.detach()


@pytest.mark.parametrize(("examples", "features"), [(10, 40), (40, 6)])
@pytest.mark.parametrize("penalty", [1.0, 1e-2])
def test_equals_an_independent_solver(examples, features, penalty):
    z, y = torch.randn(examples, features), torch.arange(examples) % 5
    got = logistic_regression(z, y, 5, penalty, steps=12)
    torch.testing.assert_close(got, by_lbfgs(z, y, 5, penalty), rtol=1e-6, atol=1e-6)
    early = logistic_regression(z, y, 5, penalty, steps=1)
    assert (got - early).abs().max() > 1e-2  # control: one step is not the optimum


def test_its_default_steps_are_enough_where_newton_alone_would_overshoot():
    """Large features with little regularisation: the gradient at the answer is 0."""
    z, y = 30 * torch.randn(25, 64), torch.arange(25) % 5
    w = logistic_regression(z, y, 5, 1.0, steps=Probe(nn.Linear(2, 2), CosineClassifier()).newton_steps + 4).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(w, z, y, 1.0), w)
    assert gradient.abs().max() < 1e-6


def test_works_with_repeated_examples_and_under_vmap():
    z = torch.randn(3, 8, 5)
    z[:, 4:] = z[:, :4]
    y = torch.arange(8) % 4
    together = torch.func.vmap(lambda one: logistic_regression(one, y, 4, 0.1, 10))(z)
    for t in range(3):
        torch.testing.assert_close(together[t], by_lbfgs(z[t], y, 4, 0.1), rtol=1e-6, atol=1e-6)


def test_the_learner_solves_on_unit_features():
    task, embed = episode(), nn.Linear(30, 12)
    learner = Probe(embed, CosineClassifier(), penalty=0.5)
    z, asked = (F.normalize(embed(x).detach(), dim=1) for x in (task.support.x, task.query.x))
    want = asked @ by_lbfgs(z, task.support.y, 3, 0.5).T
    torch.testing.assert_close(learner.adapt(task.support)(task.query.x), want, rtol=1e-6, atol=1e-6)
    raw = embed(task.query.x).detach() @ by_lbfgs(embed(task.support.x).detach(), task.support.y, 3, 0.5).T
    assert (learner.adapt(task.support)(task.query.x) - raw).abs().max() > 0.1  # control: not on raw features


def test_strength_must_be_positive():
    with pytest.raises(ArgumentError, match=r"`penalty`: expected a number above 0, got 0\. Separable classes"):
        Probe(nn.Linear(2, 2), CosineClassifier(), penalty=0)
