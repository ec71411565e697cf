"""BOIL: the body adapts, the head stands still in the inner loop, and both are learned."""

import pytest
import torch
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn

import quickstudy as qs
from quickstudy import errors
from quickstudy.recipes.boil import BOIL


def two_layers():
    """x -> h'(W x): a bilinear network, whose derivatives are written by hand."""
    network = nn.Sequential()
    network.add_module("body", nn.Linear(3, 2, bias=False))
    network.add_module("head", nn.Linear(2, 1, bias=False))
    return network


def half_mean_squares(prediction, y):
    return ((prediction - y) ** 2).mean() / 2


def episode():
    return qs.Episode(qs.Examples(torch.randn(5, 3), torch.randn(5, 1)), qs.Examples(torch.randn(6, 3), torch.randn(6, 1)))


def test_gradient_by_hand():
    """One step: W_1 = W - a h r' X / n with r = X W'h - y, and Q = 1/2 mean (Z W_1'h - y_q)^2. With s = Z W_1'h - y_q,

        G  =  dQ/dW_1 = h s'Z / m,      dQ/dh where h answers the query: W_1 Z's / m

    and through W_1, of which -a h r'X / n is what depends on W and h (r does, too):

        in W:  d(h r'X) = h (X dW'h)'X,               <G, .> = <h (X'X G'h)', dW>
        in h:  d(h r'X) = dh r'X + h (X W'dh)'X,      <G, .> = dh'[ G X'r + W X'X G'h ]

    Control: MAML, whose head adapts too, has another gradient; so has a gradient without the inner terms.
    """
    network, task, a = two_layers(), episode(), 0.3
    W, h = network.body.weight.detach(), network.head.weight.detach()[0]
    X, y, Z, q = task.support.x, task.support.y[:, 0], task.query.x, task.query.y[:, 0]
    r = X @ W.T @ h - y
    W1 = W - a * torch.outer(h, r @ X) / len(X)
    s = Z @ W1.T @ h - q
    G = torch.outer(h, s @ Z) / len(Z)
    along = X.T @ X @ G.T @ h / len(X)
    want_W = G - a * torch.outer(h, along)
    want_h = W1 @ Z.T @ s / len(Z) - a * (G @ X.T @ r / len(X) + W @ along)

    loss, gradient = qs.meta_gradient(BOIL(network, inner_lr=a, loss=half_mean_squares), [task])
    torch.testing.assert_close(loss, (s @ s) / (2 * len(s)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient["network.body.weight"], want_W, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["network.head.weight"][0], want_h, rtol=1e-11, atol=1e-12)
    _, maml = qs.meta_gradient(qs.MAML(network, inner_lr=a, loss=half_mean_squares), [task])
    assert far(want_W, maml["network.body.weight"], 0.01)
    assert far(want_h, W1 @ Z.T @ s / len(Z), 0.01)


def test_head_stands_still_and_body_moves():
    learner = BOIL(qs.models.mlp(6, 3, hidden=(8,)).double(), inner_lr=0.5, inner_steps=2)
    state = learner.adapt(qs.Examples(torch.randn(6, 6), torch.arange(3).repeat(2))).state.values
    assert all(name.startswith("body.") for name in state["theta"])
    assert all(not torch.equal(value, dict(learner.network.named_parameters())[name]) for name, value in state["theta"].items())


def test_it_is_anil_with_the_parts_exchanged():
    """BOIL with head="body.*" descends on the head alone."""
    network, task = two_layers(), episode()
    _, boil = qs.meta_gradient(BOIL(network, inner_lr=0.2, inner_steps=2, head="body.*"), [task])
    _, anil = qs.meta_gradient(qs.ANIL(network, inner_lr=0.2, inner_steps=2), [task])
    for name, one in anil.items():
        torch.testing.assert_close(boil[name], one)


def test_gradient_by_finite_differences():
    learner = BOIL(qs.models.mlp(3, 1, hidden=(4,)).double(), inner_lr=0.2, inner_steps=3)
    assert_slopes_agree(finite_differences(learner, [episode()]))


def test_a_head_that_is_not_there():
    with pytest.raises(errors.ArgumentError, match=r"`head`: expected a pattern that matches.*got 'top\.\*'.*it is MAML"):
        BOIL(two_layers(), head="top.*")
