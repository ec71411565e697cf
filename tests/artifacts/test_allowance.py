"""A few bytes of a config ask for no more memory, and no more time, than the weights beside it are worth."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.artifacts.vouched import rewritten
from torch import nn

import quickstudy as qs
from quickstudy.artifacts.allowance import Allowance, AllowanceError
from quickstudy.errors import CheckpointError


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.empty(n, n),
        lambda n: torch.zeros((n, n)),
        lambda n: torch.ones(size=(n, n)),
        lambda n: torch.full((n, n), 0.5),
        lambda n: torch.eye(n, n),
        lambda n: torch.randn(n, n, generator=torch.Generator()),
        lambda n: torch.rand(n, n),
        lambda n: torch.randint(3, (n, n)),
        lambda n: torch.arange(n * n),
        lambda n: nn.Linear(n, n, bias=False),
        lambda n: nn.Conv2d(n, n, 1, bias=False),
        lambda n: [copy.deepcopy(linear) for linear in [nn.Linear(n // 10, n // 10)] * 99],
    ],
)
def test_what_is_made_is_counted(make):
    with Allowance(saved=500, tensors=9, numbers=500):
        make(10)
    with pytest.raises(AllowanceError, match=r"tensors of more than 1000 numbers"), Allowance(500, 9, 500):
        make(100)


def test_many_small_ones_are_too_many():
    def many():
        while True:
            nn.Linear(1, 1)

    with pytest.raises(AllowanceError, match="many more parts"), Allowance(saved=1, tensors=1):
        many()


def test_a_config_that_asks_for_more(tmp_path):
    qs.Prototypical(qs.models.mlp(2, 3, hidden=(4,))).save(tmp_path)
    for change in ({"hidden": [4, 10**8]}, {"inputs": 10**9}, {"hidden": [4] * 100_000}):
        rewritten(tmp_path, lambda config, change=change: config["learner"]["arguments"]["embed"]["arguments"].update(change))
        with pytest.raises(CheckpointError, match=r"got a config that asks for (tensors of more|many more parts)"):
            qs.load(tmp_path)


def test_a_learner_of_the_usual_size_is_far_below(tmp_path):
    learner = qs.Prototypical(qs.models.resnet12())
    learner.save(tmp_path)
    again = qs.load(tmp_path)
    assert all(torch.equal(*pair) for pair in zip(learner.parameters(), again.parameters(), strict=True))
