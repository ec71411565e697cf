"""train and predict on recordings: networks by name, at the rate of the tasks, and the learner that comes along."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tests.domains.audio.sounds import folder_of

from quickstudy.artifacts.rebuilding import build
from quickstudy.cli import main
from quickstudy.cli.config import parse
from quickstudy.errors import ShapeError

TASKS = ["--tasks", "folder", "--tasks.path", "train", "--tasks.rate", "8000", "--tasks.seconds", "0.3", "--tasks.queries", "2"]
TASKS += ["--tasks.ways", "2", "--tasks.split", "(2, 2, 2)"]
SMALL = {
    "tc_resnet": ["--network.mels", "16", "--network.kernel", "3"],
    "mel_conv4": ["--network.mels", "16", "--network.channels", "4"],
    "word_conv": ["--network.width", "4", "--network.parts", "6"],
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "train", each=4)
    folder_of(tmp_path / "support", classes=3, each=3, rate=22050)
    folder_of(tmp_path / "query", classes=3, each=1, rate=44100)


def built(learner, network):
    config, _ = parse([*TASKS, "--network", network, *SMALL[network]], learner, None)
    return build(config)


@pytest.mark.parametrize(("learner", "network"), [("maml", "tc_resnet"), ("maml", "mel_conv4"), ("prototypical", "word_conv")])
def test_a_network_by_its_name_is_of_the_rate_of_the_tasks(learner, network):
    tasks, made = built(learner, network)
    task = tasks.test.sample(1, generator=torch.Generator().manual_seed(0))[0]
    assert task.support.x.shape == (2, 2400)
    assert made.adapt(task.support)(task.query.x).shape == (4, 2)
    assert (made.network if learner == "maml" else made.embed).first.rate == 8000


def test_an_embedding_is_no_classifier():
    with pytest.raises(ShapeError, match=r"`--network`: expected 2 outputs, one for each class, got word_conv of 80"):
        built("maml", "word_conv")


def test_a_folder_from_training_to_prediction(capsys):
    short = ["--train.steps", "2", "--train.tasks_per_step", "2", "--train.executor", "loop", "--episodes", "3", "--out", "run"]
    assert main(["train", "prototypical", *TASKS, "--network", "word_conv", *SMALL["word_conv"], *short]) == 0
    assert "nearest centroid of the log-mel frames" in Path("run/report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", "run", "--support", "support", "--query", "query", "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_learner_that_comes_along(capsys):
    """Hisses around three frequencies, as "sh" and "s" are told apart; it does not listen to pitch."""
    noise = np.random.default_rng(0)
    for part, each in (("heard", 3), ("asked", 1)):
        for hertz in (500, 1500, 3000):
            (Path(part) / str(hertz)).mkdir(parents=True)
            for number in range(each):
                t = np.arange(8000) / 16000
                slow = np.interp(t, np.arange(0, 0.6, 0.005), noise.normal(size=120))
                soundfile.write(Path(part) / str(hertz) / f"{number}.wav", 0.1 * slow * np.sin(2 * np.pi * hertz * t), 16000)
    assert main(["predict", "--support", "heard", "--query", "asked", "--json"]) == 0
    out = capsys.readouterr()
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert [row["class"] for row in rows] == [Path(row["file"]).parent.name for row in rows]
    assert "accuracy 100.0 %" in out.err
