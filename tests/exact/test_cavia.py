"""CAVIA: context parameters from 0, the inner descent on them alone."""

import copy
from functools import partial

import pytest
import torch
from tests.checks.executors import executors_agree
from tests.checks.learners_descend import CASES
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.models.context import ContextConv4, FiLM, WithContext
from quickstudy.recipes.cavia import CAVIA


def half_mean_squares(prediction, y):
    return ((prediction - y) ** 2).mean() / 2


def episode(features=3):
    draw = lambda n: qs.Examples(torch.randn(n, features), torch.randn(n, 1))
    return qs.Episode(draw(5), draw(6))


def linear(size=2):
    """f(x; c) = w'x + u'c + b."""
    return WithContext(nn.Linear(3 + size, 1), size)


def test_context_and_gradient_by_hand():
    """f = w'x + u'c + b is shifted by u'c alone. With r = X w + b - y (c_0 = 0), one step gives c_1 = -a u mean(r), so the query
    is answered w'z + b - a |u|^2 mean(r), and with s its residual, S = mean(s):

        dQ/dw = Z's/m - a |u|^2 S mean(X),     dQ/db = S (1 - a |u|^2),     dQ/du = -2 a u mean(r) S

    Control: without the path through c_1 (its gradient taken as constant, first order) dQ/dw is another.
    """
    network, task, a = linear(), episode(), 0.7
    w, u, b = network.network.weight.detach()[0, :3], network.network.weight.detach()[0, 3:], network.network.bias.detach()
    X, y, Z, q = task.support.x, task.support.y[:, 0], task.query.x, task.query.y[:, 0]
    r = X @ w + b - y
    c = -a * u * r.mean()
    s = Z @ w + b + u @ c - q
    want_w = s @ Z / len(Z) - a * (u @ u) * s.mean() * X.mean(0)
    want_u = -2 * a * u * r.mean() * s.mean()

    learner = CAVIA(network, inner_lr=a, loss=half_mean_squares)
    torch.testing.assert_close(learner.adapt(task.support).state.values["theta"]["context"], c, rtol=1e-12, atol=1e-12)
    _, gradient = qs.meta_gradient(learner, [task])
    got = gradient["network.network.weight"][0]
    torch.testing.assert_close(got, torch.cat([want_w, want_u]), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["network.network.bias"], s.mean() * (1 - a * u @ u)[None], rtol=1e-11, atol=1e-12)
    _, first = qs.meta_gradient(CAVIA(network, inner_lr=a, loss=half_mean_squares, hypergradient=qs.FirstOrder()), [task])
    assert far(got, first["network.network.weight"][0], 0.01)


def test_two_steps_by_hand():
    """The second residual's mean is mean(r) (1 - a |u|^2), so c_2 = -a u mean(r) (2 - a |u|^2)."""
    network, task, a = linear(), episode(), 0.7
    w, u, b = network.network.weight.detach()[0, :3], network.network.weight.detach()[0, 3:], network.network.bias.detach()
    r = task.support.x @ w + b - task.support.y[:, 0]
    c = CAVIA(network, inner_lr=a, inner_steps=2, loss=half_mean_squares).adapt(task.support).state.values["theta"]["context"]
    torch.testing.assert_close(c, -a * u * r.mean() * (2 - a * u @ u), rtol=1e-12, atol=1e-12)


def test_context_is_reset_for_every_task_and_is_no_meta_parameter():
    """Meta-training leaves c at 0. Control: MAML on the same network, its context a parameter, learns a start for it."""

    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.context = nn.Linear(5, 1), nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return self.linear(torch.cat([x, self.context.expand(len(x), -1)], 1))

    learner, control = CAVIA(linear()), qs.MAML(Learned(), inner_lr=1.0, adapts="context")
    assert [name for name, _ in learner.named_parameters()] == ["network.network.weight", "network.network.bias"]
    assert "network.context" in dict(control.named_parameters())
    learner.adapt(episode().support)
    assert torch.equal(learner.network.context, torch.zeros(2))
    assert float(qs.meta_gradient(control, [episode()])[1]["network.context"].abs().max()) > 1e-3


def test_it_learns_sinusoids_better_than_its_first_loss():
    torch.set_default_dtype(torch.float32)
    learner = CAVIA(WithContext(qs.models.mlp(1 + 4, 1), 4))
    outer = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=5e-3))
    tasks = qs.tasks.Sinusoid()
    before = qs.evaluate(learner, tasks.test, 50, executor="vmap").mean
    qs.meta_train(learner, tasks.train, steps=300, tasks_per_step=25, outer=outer, executor="vmap", progress=False)
    assert qs.evaluate(learner, tasks.test, 50, executor="vmap").mean < 0.8 * before


def test_film_by_hand():
    """gamma z + beta channel by channel, of (examples, channels) and of images. Control: (1 + gamma) z + beta is another."""
    film, c = FiLM(3, 2), torch.randn(2)
    film.context.copy_(c)
    gamma, beta = film.linear.weight[:3] @ c + film.linear.bias[:3], film.linear.weight[3:] @ c + film.linear.bias[3:]
    z, images = torch.randn(4, 3), torch.randn(4, 3, 5, 6)
    torch.testing.assert_close(film(z), gamma * z + beta)
    torch.testing.assert_close(film(images)[1, 2], gamma[2] * images[1, 2] + beta[2])
    assert far(film(z).detach(), ((1 + gamma) * z + beta).detach(), 0.01)
    neutral(film)
    assert torch.equal(film(images), images)


def neutral(film):
    """gamma = 1 and beta = 0, whatever c is."""
    nn.init.zeros_(film.linear.weight)
    with torch.no_grad():
        film.linear.bias.copy_(torch.cat([torch.ones(film.channels), torch.zeros(film.channels)]))


def test_context_conv4_without_modulation_is_conv4():
    """With gamma = 1, beta = 0; and with others: another answer."""
    network, x = ContextConv4(5, channels=4, size=16, context_size=3), torch.randn(6, 1, 16, 16)
    plain = copy.deepcopy(network)
    neutral(plain.film)
    torch.testing.assert_close(plain(x), plain.network(x))
    assert far(network(x).detach(), network.network(x).detach(), 0.01)


def test_context_conv4_modulates_between_pooling_and_relu():
    """Block by block, with a gamma below 0, for which the order matters."""
    network, x = ContextConv4(5, channels=4, size=16, context_size=3), torch.randn(6, 1, 16, 16)
    with torch.no_grad():
        network.film.linear.bias.copy_(torch.tensor([-1.0, 0.5, -0.5, 2.0, 0.1, 0.2, 0.3, 0.4]))
    z = x
    for index, block in enumerate(network.network.blocks):
        z = nn.functional.max_pool2d(block.norm(block.conv(z)), 2)
        z = nn.functional.relu(network.film(z) if index == 2 else z)
    torch.testing.assert_close(network(x), network.network.head(z.flatten(1)))


@pytest.mark.parametrize("order", [qs.Unrolled(), qs.FirstOrder()], ids=repr)
def test_executors(order):
    learner, task = CASES["CAVIA, FiLM"]()
    executors_agree(CAVIA(learner.network, inner_lr=0.5, inner_steps=2, hypergradient=order), task)
    learner, task = CASES["CAVIA"]()
    executors_agree(CAVIA(learner.network, inner_lr=0.5, inner_steps=2, hypergradient=order), task)


def test_gradient_by_finite_differences():
    network = nn.Sequential(nn.Linear(3, 4), FiLM(4, 2), nn.Tanh(), nn.Linear(4, 1))
    assert_slopes_agree(finite_differences(CAVIA(network, inner_steps=2), [episode()]))


def test_a_network_without_context():
    with pytest.raises(errors.ArgumentError, match=r"`network`: expected a network with context parameters.*WithContext\(mlp"):
        CAVIA(qs.models.mlp())
