"""What every learner of learners_descend.py is put through in its own test: the laws, and executors of order 1 and 2."""

from __future__ import annotations

import pytest
import torch
from tests.executors.networks import assert_same

import quickstudy as qs
from quickstudy import testing
from quickstudy.episode import Episode, stack
from quickstudy.meta.executors import Threads


def keeps_the_laws(case, monkeypatch: pytest.MonkeyPatch, *classes: type) -> None:
    """Every law; `classes` are named in quickstudy for the length of the test, since a saved learner names only its own."""
    for cls in classes:
        monkeypatch.setattr(qs, cls.__name__, cls, raising=False)
    torch.set_default_dtype(torch.float32)
    learner, episode = case()
    testing.run_laws(learner, episode)


def executors_agree(learner: qs.Learner, episode: Episode, tolerance: float = 1e-10) -> None:
    """Threads and vmap give the loop's loss and gradient in float64, and neither raises."""
    double = lambda tree: tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    learner, one = learner.double(), double(episode)
    other = Episode(one.support.map(scaled(0.7)), one.query.map(scaled(1.2)))
    batch = stack([one, other, one])
    loss, want = qs.meta_gradient(learner, batch, seed=5)
    for executor in (Threads(2), "vmap"):
        other_loss, got = qs.meta_gradient(learner, batch, executor=executor, seed=5)
        torch.testing.assert_close(other_loss, loss, rtol=1e-10, atol=1e-12)
        assert_same(got, want, tolerance)


def scaled(factor: float):
    return lambda leaf: leaf * factor if leaf.is_floating_point() else leaf
