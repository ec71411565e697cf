"""Small networks of every kind that executors must serve, and episodes for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import quickstudy as qs

WAYS, TASKS, SHOTS = 3, 3, 2


class Sequence(nn.Module):
    """(examples, 8) read as 4 tokens of 2 features, through a transformer layer with dropout in its attention."""

    def __init__(self, dropout=0.2):
        super().__init__()
        self.embed = nn.Linear(2, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=dropout, batch_first=True)
        self.head = nn.Linear(4, WAYS)

    def forward(self, x):
        return self.head(self.layer(self.embed(x.unflatten(1, (4, 2)))).mean(1))


class Image(nn.Module):
    """(examples, 8) read as an image of 2 x 4, through convolutions, the norm given, and Dropout2d."""

    def __init__(self, norm):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3, padding=1), norm, nn.Dropout2d(0.3)
        self.again, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(8, WAYS)

    def forward(self, x):
        x = self.drop(F.relu(self.norm(self.conv(x.reshape(-1, 1, 2, 4)))))
        return self.head(F.max_pool2d(self.again(x), 2).flatten(1))


class Tied(nn.Module):
    """One weight under two names, a parameter that nothing uses, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, WAYS)
        self.second.weight = self.first.weight
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.rand(8) + 0.5, requires_grad=False)

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x) * self.frozen))))


class Keywords(nn.Module):
    """Two inputs by name."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(3, 4), nn.Linear(5, 4), nn.Linear(4, WAYS)

    def forward(self, left, right):
        return self.head(torch.tanh(self.left(left) + self.right(right)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, WAYS)

    def forward(self, x):
        return self.head(self.gru(x.unflatten(1, (4, 2)))[0][:, -1])


def dense(*norm):
    return nn.Sequential(nn.Linear(8, 6), *norm, nn.Tanh(), nn.Linear(6, WAYS))


NETWORKS = {
    "plain": dense,
    "batch norm": lambda: dense(nn.BatchNorm1d(6)),
    "layer norm": lambda: dense(nn.LayerNorm(6)),
    "dropout": lambda: dense(nn.Dropout(0.3)),
    "conv, batch norm": lambda: Image(nn.BatchNorm2d(4)),
    "conv, group norm": lambda: Image(nn.GroupNorm(2, 4)),
    "conv, instance norm": lambda: Image(nn.InstanceNorm2d(4, affine=True)),
    "transformer": Sequence,
    "tied, unused, frozen": Tied,
}


def network_named(name):
    """The network in float64, its norms' weights away from 1 and 0."""
    torch.manual_seed(1)
    network = NETWORKS[name]().double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_()
    return network


def episodes(tasks=TASKS, features=8, seed=2):
    """A batch of classification episodes."""
    generator = torch.Generator().manual_seed(seed)
    x = lambda n: torch.randn(tasks, n, features, generator=generator, dtype=torch.float64)
    y = torch.arange(WAYS).repeat(tasks, SHOTS)
    return qs.Episode(qs.Examples(x(WAYS * SHOTS), y, WAYS), qs.Examples(x(WAYS * SHOTS), y, WAYS))


def assert_same(got, want, tolerance=1e-10):
    """Gradients by name, equal to `tolerance` of the largest entry; and some of them not zero."""
    assert got.keys() == want.keys()
    scale = max(float(one.abs().max()) for one in want.values())
    assert scale > 1e-4
    for name, one in want.items():
        assert float((got[name] - one).abs().max()) <= tolerance * scale, name
