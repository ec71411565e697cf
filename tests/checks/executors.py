"""Equality of executors: the loss and the gradient of three tasks by threads and by vmap, against the loop's, in float64."""

from __future__ import annotations

import torch
from tests.meta.executors.networks import assert_same

import quickstudy as qs
from quickstudy.episode import Episode, stack
from quickstudy.meta.executors import Threads


def executors_agree(learner: qs.Learner, episode: Episode, tolerance: float = 1e-10) -> None:
    """Neither raises, and both give the loop's."""
    learner, batch = learner.double(), three_tasks(episode)
    loss, want = qs.meta_gradient(learner, batch, seed=5)
    for executor in (Threads(2), "vmap"):
        other_loss, got = qs.meta_gradient(learner, batch, executor=executor, seed=5)
        torch.testing.assert_close(other_loss, loss, rtol=1e-10, atol=1e-12)
        assert_same(got, want, tolerance)


def three_tasks(episode: Episode) -> Episode:
    """A batch in float64: the episode, a scaled one, and the episode again."""
    one = episode.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)
    other = Episode(one.support.map(scaled(0.7)), one.query.map(scaled(1.2)))
    return stack([one, other, one])


def scaled(factor: float):
    return lambda leaf: leaf * factor if leaf.is_floating_point() else leaf
