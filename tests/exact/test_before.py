"""Backprop(before=): the support loss at phi beside the query loss, as MLDG has it, against closed form and plain autograd."""

from __future__ import annotations

import pytest
import torch
from tests.exact.quadratic import Quadratic, half_squares, line, start

import quickstudy as qs
from quickstudy.errors import ArgumentError, UnsupportedError

RATE = 0.3


def gradient(before: float, executor: str = "loop", hypergradient: object = None) -> torch.Tensor:
    """d/dphi of two quadratic tasks, by our code."""
    more = {} if hypergradient is None else {"hypergradient": hypergradient}
    learner = qs.Descent(line(), inner_lr=RATE, inner_steps=1, loss=half_squares, **more)
    tasks = [Quadratic(seed).episode for seed in (0, 1)]
    _, found = qs.meta_gradient(learner, tasks, estimator=qs.Backprop(before=before), executor=executor)
    return found["network.weight"][0]


def by_hand(before: float) -> torch.Tensor:
    """The same by plain autograd: each term of Li et al.'s eq. 3 written down."""
    phi = start(line()).clone().requires_grad_()
    total = torch.zeros((), dtype=phi.dtype)
    for seed in (0, 1):
        episode = Quadratic(seed).episode

        def loss(theta, examples):
            return half_squares(examples.x @ theta[:, None], examples.y)

        at_phi = loss(phi, episode.support)
        (inner,) = torch.autograd.grad(at_phi, phi, create_graph=True)
        total = total + before * at_phi + loss(phi - RATE * inner, episode.query)
    return torch.autograd.grad(total / 2, phi)[0]


@pytest.mark.parametrize("executor", ["loop", "threads", "vmap"])
@pytest.mark.parametrize("before", [0.0, 1.0, 0.25])
def test_both_terms_equal_plain_autograd(executor, before):
    torch.testing.assert_close(gradient(before, executor), by_hand(before), rtol=1e-12, atol=1e-12)


def test_without_the_first_term_it_is_another_gradient():
    """Control: the two differ by the mean support gradient at phi, and by nothing else."""
    phi = start(line())
    at_phi = sum(task.A @ (phi - task.c) for task in (Quadratic(0), Quadratic(1))) / 2
    torch.testing.assert_close(gradient(1.0) - gradient(0.0), at_phi, rtol=1e-12, atol=1e-12)
    assert float(at_phi.norm()) > 1e-2


def test_the_hypergradient_does_not_touch_the_first_term():
    cut = gradient(1.0, hypergradient=qs.FirstOrder()) - gradient(0.0, hypergradient=qs.FirstOrder())
    torch.testing.assert_close(cut, gradient(1.0) - gradient(0.0), rtol=1e-12, atol=1e-12)


def test_a_learner_that_does_not_descend_is_refused_before_it_trains():
    learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
    before = {name: one.clone() for name, one in learner.state_dict().items()}
    with pytest.raises(UnsupportedError, match=r"`before`: expected 0 for Prototypical, which does not descend from phi, got"):
        qs.meta_train(learner, tasks, steps=2, tasks_per_step=2, outer=qs.Gradient(qs.Backprop(before=1.0)), progress=False)
    assert all(torch.equal(before[name], one) for name, one in learner.state_dict().items())
    with pytest.raises(ArgumentError, match="before"):
        qs.Backprop(before=-1.0)
