"""What a run will take, said after its first steps: near to what it took, and by how much it may be off."""

from __future__ import annotations

import json
import time

import pytest
import torch

import quickstudy as qs
from quickstudy.meta.loop import outer_loop
from quickstudy.meta.loop.estimate import estimate


def test_the_equation():
    found = estimate([9.0, 1.0, 2.0, 3.0], steps=10, validation=4.0, validations=2)
    assert (found.seconds, found.low, found.high, found.steps) == (28.0, 18.0, 38.0, 3)  # the first one warms up
    assert not found.limited


def test_a_limit_of_time_ends_it():
    found = estimate([1.0, 1.0, 2.0], steps=1000, validation=4.0, validations=10, limit=60.0)
    assert (found.seconds, found.low, found.high, found.limited) == (64.0, 64.0, 64.0, True)
    assert str(found).startswith("about 1:04 to go, when `seconds` ends it")
    assert not estimate([1.0, 1.0], steps=10, validation=0.0, validations=0, limit=60.0).limited


class Slow(qs.Prototypical):
    """A learner whose steps take a known time."""

    def learn(self, support):
        time.sleep(0.01)
        return super().learn(support)


@pytest.fixture
def every_run_is_long(monkeypatch):
    monkeypatch.setattr(outer_loop, "WORTH_TELLING", 0.0)


def test_a_run_takes_about_what_was_said(every_run_is_long, tmp_path, capsys):
    learner, tasks = Slow(torch.nn.Linear(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4)
    settings = {"steps": 60, "tasks_per_step": 4, "executor": "loop", "validation_episodes": 20, "validate_every": 20}
    run = qs.meta_train(learner, tasks, **settings, out=tmp_path, progress=True)
    left = run.seconds - sum(record["seconds"] for record in run.history[: outer_loop.MEASURED])
    assert run.estimate is not None
    assert run.estimate.low <= run.estimate.seconds <= run.estimate.high
    assert 0.4 * left < run.estimate.seconds < 2.5 * left
    assert run.estimate.memory_mb > 10
    said = capsys.readouterr().err
    assert f"meta-training {type(learner).__name__}: {run.estimate}" in said
    assert json.loads((tmp_path / "result.json").read_text())["estimate"]["seconds"] == run.estimate.seconds


def test_a_short_run_says_nothing(capsys):
    learner, tasks = qs.Prototypical(torch.nn.Linear(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4)
    run = qs.meta_train(learner, tasks, steps=10, tasks_per_step=2, executor="loop", validation_episodes=4, progress=True)
    assert run.estimate is None
    assert "to go" not in capsys.readouterr().err


def test_measuring_changes_no_number(every_run_is_long, monkeypatch):
    def losses() -> list[float]:
        with qs.randomness.seeded(0):
            learner = qs.Prototypical(torch.nn.Linear(4, 3))
        settings = {"steps": 12, "tasks_per_step": 2, "executor": "loop", "validation_episodes": 4, "progress": False}
        return [one["loss"] for one in qs.meta_train(learner, qs.tasks.GaussianClasses(ways=3, dim=4), **settings).history]

    measured = losses()
    monkeypatch.setattr(outer_loop, "WORTH_TELLING", 1e9)
    assert losses() == measured
