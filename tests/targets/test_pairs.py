"""Pairs: the loss and the ranks against loops over numbers, ties, and what an evaluation makes of them."""

from __future__ import annotations

import math

import pytest
import torch

import quickstudy as qs
from quickstudy.errors import ArgumentError, LabelError, ShapeError, UnsupportedError
from quickstudy.evaluation.metrics import mrr, recall_at_1
from quickstudy.targets import Pairs, Values


def cosine(a, b) -> float:
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))


def drawn(n: int = 7, features: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, features, generator=generator, dtype=torch.float64) for _ in range(2))


def test_the_loss_is_the_cross_entropy_of_scaled_cosines():
    guess, y = drawn()
    losses = []
    for i, point in enumerate(guess.tolist()):
        weights = [math.exp(5 * cosine(point, one)) for one in y.tolist()]
        losses.append(-math.log(weights[i] / sum(weights)))
    assert float(Pairs(scale=5).loss(guess, y)) == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    assert Pairs(scale=5).each(guess, y).tolist() == pytest.approx(losses, abs=1e-12)


def test_ranks_and_scores_are_those_of_sorted_candidates():
    for seed in range(20):
        guess, y = drawn(seed=seed)
        places = []
        for i, point in enumerate(guess.tolist()):
            order = sorted(range(len(y)), key=lambda j: -cosine(point, y[j].tolist()))
            places.append(order.index(i) + 1)
        assert Pairs().ranks(guess, y).tolist() == places
        assert float(mrr(guess, y, Pairs())) == pytest.approx(sum(1 / one for one in places) / len(places))
        assert float(recall_at_1(guess, y, Pairs())) == pytest.approx(sum(one == 1 for one in places) / len(places))


def test_a_learner_that_answers_alike_is_last_everywhere():
    """What is as near as the right one is before it: a constant answer finds nothing."""
    y = torch.randn(1, 4).expand(5, 4)
    assert Pairs().ranks(torch.ones(5, 4), y).tolist() == [5] * 5


def test_an_evaluation_has_both_scores_and_no_others():
    x = torch.randn(60, 4)
    tasks = qs.tasks.GroupTasks(x, x @ torch.randn(4, 4), torch.arange(60) // 20, list("abc"), queries=8, target=Pairs())
    learner = qs.learners.solve.Alignment()
    found = qs.evaluate(learner, tasks, 20, executor="vmap")
    assert found.metric.name == "mrr"
    assert list(found.others) == ["recall_at_1"]
    assert found.per_episode == pytest.approx(qs.evaluate(learner, tasks, 20, executor="loop").per_episode, abs=1e-5)
    with pytest.raises(UnsupportedError, match="`metrics`: expected metrics of Pairs"):
        qs.evaluate(learner, tasks, 2, metrics=["mse"])
    with pytest.raises(UnsupportedError, match="`metrics`: expected metrics of Values"):
        qs.evaluate(qs.Ridge(), tasks.__class__(x, x, tasks.group, list("abc"), target=Values()), 2, metrics=["mrr"])


def test_what_is_no_pair_is_refused():
    with pytest.raises(ArgumentError, match="`scale`: expected above 0, got 0"):
        Pairs(scale=0)
    with pytest.raises(LabelError, match="`y`: expected features, floating-point numbers"):
        qs.Examples(torch.randn(3, 2), torch.arange(3), target=Pairs())
    with pytest.raises(ShapeError, match=r"outputs of shape \(3, 4\), got \(3, 2\)"):
        Pairs().loss(torch.randn(3, 2), torch.randn(3, 4))
