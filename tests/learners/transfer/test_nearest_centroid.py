"""Nearest centroid against its closed form, one distance at a time."""

import torch
from tests.learners.transfer.classes import blobs, episode
from torch import nn

import quickstudy as qs
from quickstudy.learners.transfer.nearest_centroid import NearestCentroid


def by_hand(support, x, embed=lambda x: x):
    z, asked = embed(support.x), embed(x)
    centroids = [sum(z[i] for i in range(len(z)) if support.y[i] == k) / int((support.y == k).sum()) for k in range(support.ways)]
    return torch.stack([torch.stack([-((one - c) ** 2).sum() for c in centroids]) for one in asked])


def test_equals_the_closed_form():
    task = episode()
    got = NearestCentroid().adapt(task.support)(task.query.x)
    torch.testing.assert_close(got, by_hand(task.support, task.query.x))
    wrong = qs.Examples(task.support.x, task.support.y.roll(1), ways=3)
    assert (got - by_hand(wrong, task.query.x)).abs().max() > 1  # control: other labels, other centroids


def test_images_are_flattened_and_an_embedding_is_used():
    task = episode()
    image = qs.Examples(task.support.x.reshape(-1, 1, 5, 6), task.support.y)
    flat = NearestCentroid().adapt(task.support)(task.query.x)
    assert torch.equal(NearestCentroid().adapt(image)(task.query.x.reshape(-1, 1, 5, 6)), flat)
    embed = nn.Linear(30, 4)
    got = NearestCentroid(embed).adapt(task.support)(task.query.x)
    torch.testing.assert_close(got, by_hand(task.support, task.query.x, embed).detach())
    assert not torch.allclose(got, flat)


def test_meta_training_passes_over_it():
    embed = nn.Linear(30, 4)
    before = embed.weight.detach().clone()
    run = qs.meta_train(NearestCentroid(embed), blobs(), steps=2, tasks_per_step=2, executor="loop", progress=False)
    assert run.history == []
    assert torch.equal(embed.weight, before)
