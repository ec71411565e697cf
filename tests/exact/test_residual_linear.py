"""ResidualLinear: a (z + W z), which begins as the nearest centroid of the features."""

from __future__ import annotations

import torch

import quickstudy as qs


def test_it_begins_as_the_centroid_and_moves_by_w():
    task = qs.tasks.GaussianClasses(ways=4, dim=6, shots=3, queries=5).test.sample(1)[0]
    network = qs.models.ResidualLinear(6, scale=2.0)
    ours, frozen = qs.Prototypical(network).adapt(task.support), qs.Prototypical(torch.nn.Identity()).adapt(task.support)
    torch.testing.assert_close(ours(task.query.x), 4 * frozen(task.query.x))
    with torch.no_grad():
        network.W.weight.copy_(torch.eye(6)[[1, 0, 2, 3, 4, 5]])
    z = torch.arange(6.0)[None]
    torch.testing.assert_close(network(z), 2 * (z + z[:, [1, 0, 2, 3, 4, 5]]))
