"""Ridge regression against torch's least squares and the normal equations, in float64."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError
from quickstudy.learners.solve.ridge import Ridge, ridge

pytestmark = pytest.mark.usefixtures("float64")

SHAPES = [(4, 9), (9, 4), (5, 5), (1, 3)]  # (examples, features): Woodbury where there are fewer examples


def a_task(examples, features, outputs=3):
    return torch.randn(examples, features), torch.randn(examples, outputs)


def by_least_squares(z, y, penalty):
    """|| Z W - Y ||^2 + lambda ||W||^2 is plain least squares on Z with sqrt(lambda) I below it, and Y with zeros below."""
    rows = torch.cat([z, penalty**0.5 * torch.eye(z.shape[1])])
    return torch.linalg.lstsq(rows, torch.cat([y, torch.zeros(z.shape[1], y.shape[1])])).solution


@pytest.mark.parametrize(("examples", "features"), SHAPES)
@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_equals_least_squares_and_the_normal_equations(examples, features, penalty):
    z, y = a_task(examples, features)
    weights, bias = ridge(z, y, penalty)
    torch.testing.assert_close(weights, by_least_squares(z, y, penalty), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(z.T @ (z @ weights - y) + penalty * weights, torch.zeros_like(weights))
    assert not bias.any()
    assert not torch.allclose(weights, by_least_squares(z, y, 1.1 * penalty), rtol=1e-4)  # control: another lambda


@pytest.mark.parametrize(("examples", "features"), SHAPES)
def test_the_intercept_is_not_shrunk(examples, features):
    """With a column of ones whose weight costs nothing. Control: one that costs as the others do."""
    z, y = a_task(examples, features)
    y = y + 10
    ones = torch.cat([z, torch.ones(examples, 1)], 1)
    solved = lambda cost: torch.linalg.solve(ones.T @ ones + torch.diag(torch.tensor([2.0] * features + [cost])), ones.T @ y)
    weights, bias = ridge(z, y, 2.0, intercept=True)
    torch.testing.assert_close(torch.cat([weights, bias[None]]), solved(0.0))
    assert (bias - solved(2.0)[-1]).abs().max() > 1e-2


@pytest.mark.parametrize(("examples", "features"), [(3, 5), (5, 3)])
@pytest.mark.parametrize("intercept", [False, True])
def test_is_differentiable(examples, features, intercept):
    z, y = (one.requires_grad_() for one in a_task(examples, features, 2))
    log_penalty = torch.tensor(0.3, requires_grad=True)
    assert gradcheck(lambda *a: ridge(a[0], a[1], a[2].exp(), intercept), (z, y, log_penalty))
    assert torch.autograd.gradgradcheck(lambda *a: ridge(a[0], a[1], a[2].exp(), intercept)[0], (z, y, log_penalty))

    def cut(z, y, log_penalty):
        """Control: the inverse taken as a constant."""
        inverse = torch.linalg.inv(z.T @ z + log_penalty.exp() * torch.eye(features)).detach()
        return inverse @ z.T @ y

    assert not gradcheck(cut, (z, y, log_penalty), raise_exception=False)


@pytest.mark.parametrize(("examples", "features"), [(3, 5), (5, 3)])
def test_a_batch_of_tasks_by_vmap_is_the_loop(examples, features):
    z, y = torch.randn(4, examples, features), torch.randn(4, examples, 2)
    weights, bias = torch.vmap(lambda z, y: ridge(z, y, 0.7, intercept=True))(z, y)
    for task in range(4):
        one = ridge(z[task], y[task], 0.7, intercept=True)
        torch.testing.assert_close((weights[task], bias[task]), one)
    assert not torch.allclose(weights[0], weights[1])


def test_logits_are_scale_times_the_regression_plus_shift():
    x, y, asked = torch.randn(6, 4), torch.tensor([0, 1, 2, 2, 1, 0]), torch.randn(3, 4)
    got = Ridge(penalty=0.5, scale=3.0, shift=-1.0).adapt(qs.Examples(x, y))(asked)
    weights = by_least_squares(x, nn.functional.one_hot(y).double(), 0.5)
    torch.testing.assert_close(got, 3 * asked @ weights - 1)
    assert not torch.allclose(got, asked @ weights)


@pytest.mark.parametrize("target", [(), (1,), (2, 3)])
def test_targets_keep_their_shape_and_know_no_scale(target):
    x, y, asked = torch.randn(6, 4), torch.randn(6, *target), torch.randn(3, 4)
    got = Ridge(penalty=0.5, scale=7.0, shift=5.0).adapt(qs.Examples(x, y))(asked)
    want = (asked @ by_least_squares(x, y.reshape(6, -1), 0.5)).reshape(3, *target)
    torch.testing.assert_close(got, want)


def test_strength_and_scale_are_learned_and_no_step_makes_strength_negative():
    """The softmax does not see the shift, so its gradient is 0; targets do not see the scale either."""
    learner, y = Ridge(nn.Linear(4, 8), penalty=1e-3), torch.tensor([0, 1, 2] * 2)
    episode = qs.Episode(qs.Examples(torch.randn(6, 4), y), qs.Examples(torch.randn(6, 4), y))
    loss, gradient = qs.meta_gradient(learner, [episode])
    assert abs(gradient["shift"]) < 1e-12
    assert min(abs(gradient["scale"]), abs(gradient["log_penalty"])) > 1e-6
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            parameter -= 1e-2 * gradient[name]
    assert qs.meta_gradient(learner, [episode])[0] < loss
    with torch.no_grad():
        learner.log_penalty -= 100.0
    assert learner.log_penalty.exp() > 0
    regression = qs.Episode(qs.Examples(torch.randn(6, 4), torch.randn(6, 1)), qs.Examples(torch.randn(6, 4), torch.randn(6, 1)))
    assert qs.meta_gradient(Ridge(nn.Linear(4, 8)), [regression])[1]["scale"] == 0


def test_a_strength_that_is_not_positive():
    with pytest.raises(ArgumentError, match=r"`penalty`: expected a number above 0, got 0\.0\. Without it"):
        Ridge(penalty=0.0)


def test_integer_targets_are_refused():
    with pytest.raises(LabelError, match=r"`y`: expected labels, int64 \(examples,\), .*numbers as y\.float\(\)"):
        qs.Examples(torch.randn(2, 3), torch.zeros(2, 1, dtype=torch.int64))
    with pytest.raises(LabelError, match=r"`y`: expected targets, floating-point numbers"):
        qs.Examples(torch.randn(2, 3), torch.zeros(2, 1, dtype=torch.int32), target=qs.targets.Values())
