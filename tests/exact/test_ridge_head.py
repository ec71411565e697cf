"""R2D2's head: the learner's loss and meta-gradient against normal equations written by hand, on both sides of Woodbury."""

import pytest
import torch
import torch.nn.functional as F
from tests.exact.quadratic import assert_slopes_agree, far, finite_differences
from torch import nn

import quickstudy as qs
from quickstudy.recipes.r2d2 import R2D2

# tests/learners/test_ridge.py compares the closed form itself, Woodbury's and the other, with torch's least squares.


def an_episode(ways=3, shots=2):
    draw = lambda n: qs.Examples(torch.randn(ways * n, 6), torch.arange(ways).repeat(n), ways)
    return qs.Episode(draw(shots), draw(4))


def primal(z, Y, penalty):
    return torch.linalg.solve(z.T @ z + penalty * torch.eye(z.shape[1]), z.T @ Y)


def dual(z, Y, penalty):
    return z.T @ torch.linalg.solve(z @ z.T + penalty * torch.eye(len(z)), Y)


def augmented(z, Y, penalty):
    """Householder's least squares on Z with sqrt(lambda) I below it: no normal equations at all."""
    rows = torch.cat([z, penalty.sqrt() * torch.eye(z.shape[1])])
    q, r = torch.linalg.qr(rows)
    return torch.linalg.solve_triangular(r, q.T @ torch.cat([Y, torch.zeros(z.shape[1], Y.shape[1])]), upper=True)


@pytest.mark.parametrize("solve", [primal, dual, augmented])
@pytest.mark.parametrize("features", [2, 6, 20])
def test_loss_and_gradient_of_three_forms(solve, features):
    """(Z'Z + l)^-1 Z'Y = Z'(ZZ' + l)^-1 Y = lstsq([Z; sqrt(l) I], [Y; 0]), with 6 examples: equal in the meta-gradient too.

    Control: lambda taken as a constant, or 10 % off, gives another gradient of the embedding.
    """
    embed, task = nn.Linear(6, features), an_episode()
    learner = R2D2(embed, penalty=0.7, scale=4.0, shift=0.3)
    loss, gradient = qs.meta_gradient(learner, [task])

    def by_hand(factor=1.0):
        Z, Y = embed(task.support.x), F.one_hot(task.support.y, 3).double()
        W = solve(Z, Y, factor * learner.log_penalty.exp())
        return F.cross_entropy(learner.scale * embed(task.query.x) @ W + learner.shift, task.query.y)

    want = by_hand()
    torch.testing.assert_close(loss, want.detach(), rtol=1e-11, atol=1e-12)
    names = ["embed.weight", "embed.bias", "log_penalty", "scale"]
    parameters = dict(learner.named_parameters())
    found = torch.autograd.grad(want, [parameters[name] for name in names])
    for name, one in zip(names, found, strict=True):
        torch.testing.assert_close(gradient[name], one, rtol=1e-8, atol=1e-10)
    wrong = torch.autograd.grad(by_hand(1.1), embed.weight)[0]
    assert far(gradient["embed.weight"], wrong, 1e-3)


def test_gradient_by_finite_differences():
    slopes = finite_differences(R2D2(nn.Sequential(nn.Linear(6, 8), nn.Tanh())), [an_episode()])
    slopes.pop("shift")  # the softmax does not see it
    assert_slopes_agree(slopes)


def test_ways_and_shots_of_a_task_are_free():
    """One learner, tasks of 2 to 7 ways. Control: a prediction from one task's head is not another's."""
    learner = R2D2(nn.Linear(6, 8))
    for ways, shots in ((2, 1), (7, 3)):
        task = an_episode(ways, shots)
        assert learner.adapt(task.support)(task.query.x).shape == (4 * ways, ways)
    one, other = an_episode(), an_episode()
    assert far(learner.adapt(one.support)(one.query.x), learner.adapt(other.support)(one.query.x))
