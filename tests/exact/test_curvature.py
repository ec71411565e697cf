"""Meta-Curvature: a matrix for each axis of each layer's gradient."""

import pytest
import torch
from tests.checks.executors import executors_agree
from tests.checks.learners_descend import CASES
from tests.exact.quadratic import Quadratic, assert_slopes_agree, far, finite_differences, half_squares, line, start
from torch import nn

import quickstudy as qs
from quickstudy.learners.descend.curvature import Curvature, Preconditioner
from quickstudy.recipes.meta_curvature import MetaCurvature

A = 0.3


def curved(network, **arguments):
    """A learner whose matrices are not the identity."""
    learner = MetaCurvature(network, loss=half_squares, inner_lr=A, **arguments)
    with torch.no_grad():
        for M in learner.curvature.parameters():
            M.add_(0.3 * torch.randn_like(M))
    return learner


@pytest.mark.parametrize("k", [1, 3])
def test_identity_is_maml(k):
    """Every M = I: the loss and the gradient in phi are MAML's. Control: at other matrices they are not."""
    task, network = Quadratic(), line()
    loss, want = qs.meta_gradient(qs.MAML(network, inner_lr=A, inner_steps=k, loss=half_squares), [task.episode])
    got_loss, got = qs.meta_gradient(MetaCurvature(network, inner_lr=A, inner_steps=k, loss=half_squares), [task.episode])
    torch.testing.assert_close(got_loss, loss, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got["network.weight"], want["network.weight"], rtol=1e-12, atol=1e-12)
    assert far(want["network.weight"], qs.meta_gradient(curved(network, inner_steps=k), [task.episode])[1]["network.weight"])


def test_one_step_by_hand():
    """A row of weights t (1, d): P g = m M g with a number m (M_out) and M (M_in), so t_1 = phi - a m M g, g = A(phi - c), and
    with o = B(t_1 - d):

        dL/dphi = (I - a m A M') o,     dL/dM = -a m o g',     dL/dm = -a o'M g

    Control: with M' for M (the other index of the matrix) the step is another."""
    task, network = Quadratic(), line()
    learner, phi = curved(network), start(network)
    m, M = (one.detach() for one in learner.curvature.matrices[0])
    m = m[0, 0]
    g = task.A @ (phi - task.c)
    o = task.query_gradient(phi - A * m * M @ g)
    _, gradient = qs.meta_gradient(learner, [task.episode])
    torch.testing.assert_close(gradient["network.weight"][0], (task.I - A * m * task.A @ M.T) @ o, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["curvature.matrices.0.1"], -A * m * torch.outer(o, g), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(gradient["curvature.matrices.0.0"][0, 0], -A * o @ M @ g, rtol=1e-11, atol=1e-12)
    assert far(o, task.query_gradient(phi - A * m * M.T @ g), 0.01)


def test_products_along_every_axis():
    """A kernel (out, in, height, width): sum over o', i', f' of M_out[o, o'] M_in[i, i'] M_f[f, f'] G[o', i', f']; a matrix has
    two of them, a vector one, a single number a 1 x 1."""
    theta = {"kernel": torch.randn(3, 2, 2, 2), "matrix": torch.randn(3, 4), "bias": torch.randn(5), "number": torch.randn(())}
    P = Curvature().of(theta)
    assert isinstance(P, Preconditioner)
    assert [[len(M) for M in matrices] for matrices in P.matrices] == [[3, 2, 4], [3, 4], [5], [1]]
    for M in P.parameters():
        nn.init.normal_(M)
    g = {name: torch.randn_like(p) for name, p in theta.items()}
    got = P(g)
    o, i, f = P.matrices[0]
    want = torch.einsum("ox,iy,fz,xyz->oif", o, i, f, g["kernel"].flatten(2)).reshape(3, 2, 2, 2)
    torch.testing.assert_close(got["kernel"], want)
    torch.testing.assert_close(got["matrix"], P.matrices[1][0] @ g["matrix"] @ P.matrices[1][1].T)
    torch.testing.assert_close(got["bias"], P.matrices[2][0] @ g["bias"])
    torch.testing.assert_close(got["number"], P.matrices[3][0][0, 0] * g["number"])
    assert far(want.detach(), g["kernel"])


@pytest.mark.parametrize("recompute", [False, True])
def test_every_phi_by_finite_differences(recompute):
    """Through two steps of a convolution and a linear layer; recomputed too, where a matrix that is closed over would get 0."""
    network = nn.Sequential(nn.Unflatten(1, (1, 3, 3)), nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1))
    learner = MetaCurvature(network, inner_steps=2, inner_lr=0.2, hypergradient=qs.Unrolled(recompute=recompute))
    draw = lambda n: qs.Examples(torch.randn(n, 9), torch.randn(n, 1))
    assert_slopes_agree(finite_differences(learner, [qs.Episode(draw(5), draw(6))]))


@pytest.mark.parametrize("order", [qs.Unrolled(), qs.FirstOrder()], ids=repr)
@pytest.mark.parametrize("name", ["Meta-Curvature", "Meta-Curvature, normed"])
def test_executors(name, order):
    learner, episode = CASES[name]()
    executors_agree(MetaCurvature(learner.network, inner_lr=0.3, inner_steps=2, hypergradient=order), episode)
