"""LR-D2: Newton's steps against scikit-learn's optimum, against iteratively reweighted least squares, and by differences."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn
from torch.autograd import gradcheck

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.solve.logistic import Logistic, newton_logistic
from quickstudy.learners.solve.ridge import ridge
from quickstudy.recipes.lr_d2 import LRD2

SHAPES = [(9, 4), (9, 20)]  # (examples, features): Woodbury where there are fewer examples


def a_task(examples, features, ways=3):
    y = torch.arange(examples) % ways
    return torch.randn(examples, features), y, F.one_hot(y, ways).double()


@pytest.mark.parametrize(("examples", "features"), SHAPES)
@pytest.mark.parametrize("penalty", [0.1, 3.0])
def test_many_steps_reach_the_optimum_that_scikit_learn_finds(examples, features, penalty):
    """One machine for each class, C = 1 / lambda. Controls: one step is not there yet; nor is a softmax over all classes."""
    z, y, Y = a_task(examples, features)
    got = newton_logistic(z, Y, penalty, 12)
    for k in range(3):
        theirs = LogisticRegression(C=1 / penalty, fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=500)
        theirs.fit(z.numpy(), (y == k).numpy())
        np.testing.assert_allclose(got[:, k], theirs.coef_[0], rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(z.T @ ((z @ got).sigmoid() - Y) + penalty * got, torch.zeros_like(got), rtol=0, atol=1e-10)
    assert far(got, newton_logistic(z, Y, penalty, 1), 0.01)
    softmax = LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-12, max_iter=500).fit(z.numpy(), y.numpy())
    assert far(got, torch.from_numpy(softmax.coef_).T, 0.01)


@pytest.mark.parametrize(("examples", "features"), SHAPES)
@pytest.mark.parametrize("steps", [1, 3])
def test_each_step_is_weighted_ridge(examples, features, steps):
    """The paper's form: w = argmin sum_i s_i (w'z_i - t_i)^2 + lambda |w|^2 with t = eta + (y - m) / s. Control: the weights
    s left out."""
    z, _, Y = a_task(examples, features)
    weighted, plain = torch.zeros(features, 3), torch.zeros(features, 3)
    for _ in range(steps):
        for w, weights in ((weighted, True), (plain, False)):
            eta = z @ w
            m = eta.sigmoid()
            s = m * (1 - m)
            t = eta + (Y - m) / s
            for k in range(3):
                root = s[:, k : k + 1].sqrt() if weights else torch.ones(examples, 1)
                w[:, k] = ridge(root * z, root * t[:, k : k + 1], 0.5)[0][:, 0]
    got = newton_logistic(z, Y, 0.5, steps)
    torch.testing.assert_close(got, weighted, rtol=1e-9, atol=1e-11)
    assert far(got, plain)


@pytest.mark.parametrize(("examples", "features"), SHAPES)
def test_is_differentiable_through_its_steps(examples, features):
    """In z and lambda, and twice. Control: the last step alone, from weights that are taken as constants."""
    z, _, Y = a_task(examples, features)
    z, log_penalty = z.requires_grad_(), torch.tensor(-0.5, requires_grad=True)
    assert gradcheck(lambda z, l: newton_logistic(z, Y, l.exp(), 3), (z, log_penalty))
    few = z[:4, :3].detach().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: newton_logistic(z, Y[:4], 0.6, 2), (few,))

    def last_step(z, l):
        eta = z @ newton_logistic(z, Y, l.exp(), 2).detach()
        m = eta.sigmoid()
        s = (m * (1 - m)).T[:, :, None]
        return torch.linalg.solve(
            (z.T * s.mT) @ z + l.exp() * torch.eye(features), (z.T @ (s[..., 0].T * eta + Y - m)).T[..., None]
        )

    torch.testing.assert_close(last_step(z, log_penalty)[..., 0].T, newton_logistic(z, Y, log_penalty.exp(), 3))
    assert not gradcheck(last_step, (z, log_penalty), raise_exception=False)


def test_stays_finite_where_probabilities_are_0_and_1():
    """Separable classes with next to no lambda: each step adds 1 to every margin, until m is 1 to the last digit."""
    z, _, Y = a_task(9, 20)
    z = (1e4 * z).requires_grad_()
    w = newton_logistic(z, Y, 1e-15, 45)
    m = (z @ w).sigmoid()
    assert bool((m * (1 - m) == 0).any())  # so the textbook's form, which divides by it, would not be finite
    assert bool(torch.isfinite(w).all())
    (gradient,) = torch.autograd.grad((z @ w).tanh().sum(), z)
    assert bool(torch.isfinite(gradient).all())


def test_logits_are_scaled_regressions_and_the_gradient_is_that_of_differences():
    draw = lambda n: qs.Examples(torch.randn(3 * n, 6), torch.arange(3).repeat(n), 3)
    task, embed = qs.Episode(draw(2), draw(4)), nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    learner = Logistic(embed, penalty=0.4, newton_steps=3, scale=2.5)
    want = 2.5 * embed(task.query.x) @ newton_logistic(embed(task.support.x), F.one_hot(task.support.y).double(), 0.4, 3)
    torch.testing.assert_close(learner.adapt(task.support)(task.query.x), want.detach())
    assert_slopes_agree(finite_differences(learner, [task]))


def test_refusals():
    with pytest.raises(errors.ArgumentError, match=r"`penalty`: expected a number above 0, got 0\.0\. Separable classes"):
        Logistic(nn.Linear(2, 2), penalty=0.0)
    with pytest.raises(errors.ArgumentError, match=r"`newton_steps`: expected 1 or more, got 0\. 5 is the default"):
        LRD2(nn.Linear(2, 2), newton_steps=0)
    with pytest.raises(errors.LabelError, match=r"`support\.y`: expected class labels"):
        LRD2(nn.Linear(2, 2)).adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 1)))
