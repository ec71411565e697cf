"""check_model: what can adapt, which executors serve and why not, what a step keeps in memory; nothing is changed."""

import torch
from torch import nn

import quickstudy as qs


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.frozen, self.spare = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.frozen.requires_grad_(False)

    def forward(self, x):
        return self.frozen(torch.tanh(self.norm(self.used(x))))


def test_what_adapts_is_frozen_and_unused():
    network = Odd()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = qs.check_model(network, torch.randn(5, 4))
    assert found.adapts == ["used.weight", "used.bias", "spare.weight", "spare.bias", "norm.weight", "norm.bias"]
    assert found.frozen == ["frozen.weight", "frozen.bias"]
    assert found.unused == ["spare.weight", "spare.bias"]
    assert found.norms == ["1 BatchNorm1d, running averages"]
    assert found.executors["loop"] == found.executors["vmap"] == "serves"
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert "unused by the output: spare.weight, spare.bias" in str(found)


def test_why_an_executor_does_not_serve():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(3, 3, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[0][:, -1]

    found = qs.check_model(Recurrent(), torch.randn(5, 6, 3))
    assert found.executors["loop"] == "serves"
    assert "LSTM has no vmap rule" in found.executors["vmap"]
    assert "LSTM has no vmap rule" in found.executors["compiled"]


def test_memory_grows_with_the_examples():
    network = qs.models.mlp(4, 2, hidden=(50,))
    small, large = (qs.check_model(network, torch.randn(n, 4)).bytes_per_step for n in (10, 1000))
    assert 20 < large / small < 120
