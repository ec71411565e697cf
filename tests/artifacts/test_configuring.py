"""The config that is read off the objects is the one that made them, for every learner of the command line."""

from __future__ import annotations

import pytest
from torch import nn

import quickstudy as qs
from quickstudy.artifacts.configuring import config_of
from quickstudy.artifacts.rebuilding import build, build_learner
from quickstudy.cli.config import parse
from quickstudy.randomness import seeded
from quickstudy.registry import methods

STROKES = "--tasks strokes --tasks.classes [6,6,6] --tasks.examples 6 --tasks.queries 2 --train.steps 3"
NETWORK = {"relation": "--network.maps true --network.pooled 2", "cavia": "--network context_conv4"}
REGRESS = ("maml", "reptile", "neural_process", "imaml")


@pytest.mark.parametrize(
    ("name", "words"),
    [(name, STROKES) for name in methods() if name != "relation"] + [(name, "--tasks sinusoid") for name in REGRESS],
)
def test_a_config_is_read_off_what_it_made(name: str, words: str):
    config, _ = parse(f"{words} {NETWORK.get(name, '')} --train.seed 3".split(), name, None)
    tasks, learner = build(config)
    found = config_of(learner, tasks, config["train"])
    assert found["start"] == "seed"
    for section in ("learner", "tasks", "train"):
        assert found[section] == config[section]
    assert found["network"] in (config["network"], {})  # none, where the learner takes none


def test_defaults_that_python_leaves_out_are_in_it():
    tasks = qs.tasks.Strokes(classes=(6, 6, 6), examples=6, queries=2)
    train = {"seed": 0, "steps": 3}
    config, _ = parse(f"{STROKES} --inner_lr 0.4 --network.channels 8".split(), "maml", None)
    with seeded(5):
        learner = qs.MAML(qs.models.conv4(ways=5, channels=8), inner_lr=0.4)
    found = config_of(learner, tasks, train)
    assert (found["learner"], found["network"]) == (config["learner"], config["network"])
    assert found["start"] == "given"


@pytest.mark.parametrize(
    "learner",
    [
        qs.MAML(qs.models.conv4(ways=7), inner_lr=0.4),  # not the ways of the tasks
        qs.MAML(qs.models.conv4(ways=5), hypergradient=qs.learners.descend.FirstOrder()),
        qs.Ridge(qs.models.conv4()),  # which the command line does not have
        qs.MAML(nn.Sequential(nn.Flatten(), nn.Linear(784, 5))),
    ],
    ids=["ways", "hypergradient", "Ridge", "network"],
)
def test_a_learner_that_no_name_describes_is_described_by_its_class(learner: qs.Learner):
    tasks = qs.tasks.Strokes(classes=(6, 6, 6), examples=6, queries=2)
    found = config_of(learner, tasks, {"seed": 0})
    assert found["learner"]["class"] == type(learner).__name__
    assert (found["start"], found["network"]) == ("given", {})
    if not isinstance(getattr(learner, "network", None), nn.Sequential):
        assert repr(build_learner(found, tasks)) == repr(learner)


def test_augmentation_and_sizes_are_written_as_they_are_typed():
    import torch

    from quickstudy.tasks import MixTasks, Rotations, from_arrays

    x, y = torch.rand(80, 1, 8, 8), torch.arange(80) // 10
    tasks = from_arrays(x, y, ways=2, queries=3, split=(4, 2, 2), augment=[Rotations(), MixTasks(alpha=0.3)]).with_(shots=(1, 2))
    found = config_of(qs.NearestCentroid(), tasks, {})["tasks"]
    assert found["augment"] == "[Rotations(), MixTasks(alpha=0.3, probability=0.5)]"
    assert (found["ways"], found["shots"], found["given"]) == (2, [1, 2], ["x", "y"])
