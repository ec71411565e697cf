"""train on a table of texts: networks that the domain names, a control that reads texts, and what does not fit is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from quickstudy.artifacts.rebuilding import build
from quickstudy.cli import main
from quickstudy.cli.config import parse
from quickstudy.registry import networks

VERBS = ("open", "close", "find", "buy", "sell", "paint", "sing", "dance")
THINGS = ("it", "them", "a door", "my boat", "the moon", "no bread")
TASKS = ["--tasks", "csv", "--tasks.path", "texts.csv", "--tasks.text", "text", "--tasks.queries", "2", "--tasks.ways", "2"]
TASKS += ["--tasks.split", "(4, 2, 2)"]
SHORT = ["--train.steps", "2", "--train.tasks_per_step", "2", "--train.executor", "loop", "--episodes", "3", "--out", "run"]
SMALL = {
    "byte_conv": ["--network.width", "8", "--network.depth", "1"],
    "byte_transformer": ["--network.width", "8", "--network.depth", "1", "--network.heads", "2"],
    "ngram_bag": ["--network.buckets", "64", "--network.width", "4"],
    "ngram_frequencies": ["--network.buckets", "64"],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"please {verb} {thing},{verb}" for verb in VERBS for thing in THINGS]
    Path("texts.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")


def trained(learner, network, *more):
    """The exit code."""
    return main(["train", learner, *TASKS, "--tasks.length", "32", "--network", network, *SMALL[network], *SHORT, *more])


def test_a_table_of_texts_from_training_to_prediction(capsys):
    assert trained("prototypical", "ngram_frequencies") == 0
    Path("asked.csv").write_text("text\nplease open it\n", encoding="utf-8")
    Path("support.csv").write_text("text,label\nplease open them,open\nplease sell them,sell\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", "run", "--support", "support.csv", "--query", "asked.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["class"] == "open"
    assert "nearest centroid of the n-grams" in Path("run/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("learner", ["prototypical", "maml"])
@pytest.mark.parametrize("network", ["byte_conv", "byte_transformer", "ngram_bag"])
def test_a_network_by_its_name(learner, network):
    """A learner that compares embeds by it, one that descends has the classes as its outputs."""
    config, _ = parse([*TASKS, "--tasks.length", "32", "--network", network, *SMALL[network]], learner, None)
    tasks, made = build(config)
    task = tasks.test.sample(1, generator=torch.Generator().manual_seed(0))[0]
    assert made.adapt(task.support)(task.query.x).shape == (4, 2)


def test_what_does_not_fit_is_refused_before_a_folder_is_made(capsys):
    assert trained("maml", "ngram_frequencies") != 0
    assert "expected 2 outputs, one for each class, got ngram_frequencies of 66" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_network_of_pictures_is_refused(capsys):
    assert main(["train", "prototypical", *TASKS, *SHORT]) != 0
    said = capsys.readouterr().err
    assert re.search(r"`network`: expected one that reads ids and mask, as the tasks give them, got Conv4", said)
    assert not Path("run").exists()


def test_the_names_are_those_of_the_domain():
    assert set(SMALL) <= set(networks())
