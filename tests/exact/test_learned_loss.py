"""Learned losses: where they begin, their derivatives, and a student that they train better."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.checks.learners import stirred
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.learners.bilevel.learned_loss import LearnedLoss
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.bilevel.parts import default_each
from quickstudy.tasks.distribution.streams import Streams


@pytest.mark.parametrize("y", [torch.arange(6) % 4, torch.randn(6, 4), torch.randn(6)], ids=["labels", "targets", "one number"])
def test_it_begins_at_the_plain_loss(y):
    f = torch.randn(6) if y.ndim == 1 and y.is_floating_point() else torch.randn(6, 4)
    loss = LearnedLoss(5)
    torch.testing.assert_close(loss.each(f, y), default_each(f, y), rtol=0, atol=0)
    plain = F.cross_entropy(f, y) if not y.is_floating_point() else F.mse_loss(f, y)
    torch.testing.assert_close(loss(f, y), plain)
    assert (stirred(loss, 0.3).each(f, y) - default_each(f, y)).abs().max() > 1e-3


def test_classes_by_the_equation():
    loss, f, y = stirred(LearnedLoss(5, plain=0.7), 0.3), torch.randn(3, 4), torch.tensor([2, 0, 3])
    got = loss.each(f, y)
    for i in range(3):
        p = f[i].log_softmax(0)
        want = -0.7 * p[y[i]]
        for k in range(4):
            want = want + loss.psi(torch.stack([p[k], torch.tensor(float(y[i] == k)), -p[y[i]]]))[0]
        torch.testing.assert_close(got[i], want)


def test_renumbering_the_classes_changes_nothing():
    loss, f, y = stirred(LearnedLoss(5), 0.3), torch.randn(6, 4), torch.arange(6) % 4
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss.each(f[:, order.argsort()], order[y]), loss.each(f, y))
    network = nn.Linear(8, 1)  # the control: a network over all outputs side by side
    side = lambda f, y: network(torch.cat([f, F.one_hot(y, 4).double()], 1))
    assert (side(f[:, order.argsort()], order[y]) - side(f, y)).abs().max() > 1e-2


def test_derivatives_to_the_second_order():
    loss, y = stirred(LearnedLoss(3), 0.3), torch.tensor([1, 0])
    f = torch.randn(2, 3, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: loss.each(f, y), f)
    assert torch.autograd.gradgradcheck(lambda f: loss.each(f, y), f)
    assert torch.autograd.gradgradcheck(lambda f: loss.each(f, torch.ones(2, 3)), f)


def test_the_meta_gradient_is_the_hand_written_one():
    """Two steps on the learned loss, the plain one after them, by plain autograd; the control takes the learned one outside."""
    net, loss = nn.Linear(3, 2), stirred(LearnedLoss(4), 0.3)
    run = LearnedTraining(net, steps=2, inner_lr=0.4, loss=loss)
    draw = lambda: qs.Examples(torch.randn(6, 3), torch.arange(6) % 2, 2)
    support, query = draw(), draw()
    got = qs.meta_gradient(run, [qs.Episode(support, query)], seed=2)[1]
    seed = int(torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(2)))
    theta = [p.clone().requires_grad_() for p in run.init(None, seed)["theta"].values()]
    for _ in range(2):
        g = torch.autograd.grad(loss(F.linear(support.x, *theta), support.y), theta, create_graph=True)
        theta = [p - 0.4 * one for p, one in zip(theta, g, strict=True)]
    answers = F.linear(query.x, *theta)
    parameters = list(loss.parameters())
    want = torch.autograd.grad(F.cross_entropy(answers, query.y), parameters, retain_graph=True)
    wrong = torch.autograd.grad(loss(answers, query.y), parameters)
    names = [f"loss_part.{name}" for name, _ in loss.named_parameters()]
    for name, one in zip(names, want, strict=True):
        torch.testing.assert_close(got[name], one, rtol=1e-6, atol=1e-9)  # the rate is a float32 number
    assert max(float((got[name] - one).abs().max()) for name, one in zip(names, wrong, strict=True)) > 1e-3


def test_it_is_a_criterion_for_descent_too():
    learner = qs.MAML(nn.Linear(3, 2), inner_lr=0.3, inner_steps=2, loss=stirred(LearnedLoss(4), 0.3))
    draw = lambda: qs.Examples(torch.randn(6, 3), torch.arange(6) % 2, 2)
    gradient = qs.meta_gradient(learner, [qs.Episode(draw(), draw())], loss=F.cross_entropy)[1]
    assert float(gradient["loss_function.psi.2.weight"].abs().max()) > 1e-6
    with pytest.raises(errors.UnsupportedError, match="a learned loss acts only through it"):
        qs.FOMAML(nn.Linear(3, 2), loss=LearnedLoss(4))


def test_it_learns_to_bear_outliers():
    """A fifth of the training targets far off, the outer loss on clean ones: the student of the learned loss errs less."""
    torch.set_default_dtype(torch.float32)
    truth = torch.randn(4, 1)
    x = torch.randn(900, 4)
    y = x @ truth
    far = (torch.rand(900, 1) < 0.2) * (8 + 8 * torch.rand(900, 1))
    outer = qs.Examples(x[:150], y[:150])
    tasks = Streams(x[150:600], (y + far)[150:600], batch=30, window=10, outer=outer, outer_batch=30)
    run = LearnedTraining(nn.Linear(4, 1), steps=20, inner_lr=0.05, loss=LearnedLoss(12))
    optimizer = qs.Gradient(optimizer=partial(torch.optim.Adam, lr=0.02))
    qs.meta_train(run, tasks.train, steps=30, tasks_per_step=2, outer=optimizer, executor="vmap", progress=False, clip=1.0)
    plain = LearnedTraining(nn.Linear(4, 1), steps=20, inner_lr=0.05)
    support = qs.Examples(x[600:700], (y + far)[600:700])
    query = x[700:], y[700:]
    error = lambda learner: float(F.mse_loss(learner.adapt(support)(query[0]), query[1]))
    assert error(run) < 0.7 * error(plain)


def test_what_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"`hidden`: expected 1 or more"):
        LearnedLoss(0)
