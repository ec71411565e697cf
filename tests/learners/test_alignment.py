"""Alignment: the map against the closed form of its equation and against descent, its limits, and what it is meta-trained for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.learners.solve import Alignment
from quickstudy.targets import Pairs


def pairs(n: int = 6, features: int = 3, seed: int = 0) -> qs.Examples:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, features, generator=generator, dtype=torch.float64) for _ in range(2))
    return qs.Examples(x, y, target=Pairs())


def test_the_map_is_the_least_of_its_equation():
    """By the normal equations of [Z 1], whose last column is not penalised; a step away from it is worse."""
    support, penalty = pairs(), 0.7
    z = torch.cat([support.x, torch.ones(6, 1, dtype=torch.float64)], 1)
    penalties = torch.diag(torch.tensor([penalty] * 3 + [0.0], dtype=torch.float64))
    both = torch.linalg.solve(z.T @ z + penalties, z.T @ (support.y - support.x))
    learner = Alignment(penalty=penalty).double()
    answer = learner.adapt(support)(support.x)
    torch.testing.assert_close(answer, support.x + z @ both, rtol=1e-6, atol=1e-6)

    def least(weights):
        return float(((support.x + z @ weights - support.y) ** 2).sum() + penalty * (weights[:3] ** 2).sum())

    for place in range(both.numel()):
        moved = both.clone()
        moved[divmod(place, 3)] += 0.01
        assert least(moved) > least(both)


def test_a_high_penalty_leaves_the_identity_and_a_shift():
    support = pairs()
    answer = Alignment(penalty=1e9).double().adapt(support)(support.x)
    torch.testing.assert_close(answer, support.x + (support.y - support.x).mean(0), rtol=1e-6, atol=1e-6)


def test_the_penalty_is_meta_learned():
    """Languages that are rotations of one space, of pairs with much noise: a penalty of 1e-4 fits the noise."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(6):
        y = torch.randn(60, 8, generator=generator)
        turn = torch.linalg.qr(torch.eye(8) + 0.1 * torch.randn(8, 8, generator=generator)).Q
        rows.append((y @ turn + 0.7 * torch.randn(60, 8, generator=generator), y))
    x, y = (torch.cat(own) for own in zip(*rows, strict=True))
    tasks = qs.tasks.GroupTasks(x, y, torch.arange(360) // 60, list("abcdef"), shots=9, queries=30, target=Pairs())
    learner = Alignment(penalty=1e-4)
    before = qs.evaluate(learner, tasks, 60).mean
    outer = qs.Gradient(qs.Backprop(), lambda parameters: torch.optim.Adam(parameters, lr=0.3))
    qs.meta_train(learner, tasks, steps=40, tasks_per_step=4, outer=outer, progress=False)
    assert float(learner.log_penalty.detach().exp()) > 1e-2
    assert qs.evaluate(learner, tasks, 60).mean > before + 0.05


def test_what_it_cannot_align_is_refused():
    with pytest.raises(ArgumentError, match="`penalty`: expected a number above 0, got 0"):
        Alignment(penalty=0)
    with pytest.raises(UnsupportedError, match="`support`: expected pairs, got Values"):
        Alignment().adapt(qs.Examples(torch.randn(3, 2), torch.randn(3, 2)))
    with pytest.raises(ShapeError, match=r"`embed`: expected outputs of shape \(6, 3\), got \(6, 4\)"):
        Alignment(nn.Linear(3, 4).double()).adapt(pairs())
