"""A run knows its tasks again; what is refused changes nothing; a score is of this learner on these tasks or does not count."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from tests.domains.images.pictures import draw, draw_folder

import quickstudy as qs
from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.cli import main
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.tasks.distribution.fingerprint import fingerprint

FAMILIES = {
    "GaussianClasses": lambda: qs.tasks.GaussianClasses(ways=3, dim=4),
    "Sinusoid": lambda: qs.tasks.Sinusoid(),
    "GaussianProcess": lambda: qs.tasks.GaussianProcess(),
    "TabularPrior": lambda: qs.tasks.TabularPrior(ways=2, shots=3, queries=2),
    "Strokes": lambda: qs.tasks.Strokes(ways=3, shots=1, queries=2, classes=(5, 5, 5)),
    "arrays": lambda: arrays(),
    "groups": lambda: groups(),
}
SMALL = {"ways": 2, "shots": 1, "queries": 2, "split": (2, 2, 2)}
SETTINGS = {"steps": 3, "tasks_per_step": 2, "validation_episodes": 3, "executor": "loop", "progress": False}


def arrays(move: float = 0.0, **options):
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
    x[7, 2] += move
    return qs.tasks.from_arrays(x, list("abcdef") * 4, **SMALL | options)


def groups(move: float = 0.0):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 2, generator=generator), torch.randn(60, 1, generator=generator)
    y[3] += move
    return qs.tasks.from_groups(x, y, [str(row // 10) for row in range(60)], shots=3, queries=3, split=(2, 2, 2))


def learner():
    torch.manual_seed(0)
    return qs.Prototypical(torch.nn.Linear(4, 4))


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder, by the hash of its content."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# ---- the fingerprint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_equal_tasks_have_equal_fingerprints_used_or_not_and_under_any_protocol(name):
    family = FAMILIES[name]()
    want = fingerprint(family)
    for part in (family.train, family.validation, family.test):
        part.sample(2)
        part.examples()
    assert fingerprint(family) == fingerprint(FAMILIES[name]()) == want == fingerprint(family.with_(queries=1))
    assert fingerprint(family.train) == {"train": want["train"]}


@pytest.mark.parametrize(
    ("one", "other", "parts"),
    [
        (lambda: arrays(), lambda: arrays(move=1e-6), 1),
        (lambda: arrays(), lambda: arrays(seed=1), 2),
        (lambda: groups(), lambda: groups(move=1e-6), 1),
        (lambda: qs.tasks.GaussianClasses(ways=3, dim=4), lambda: qs.tasks.GaussianClasses(ways=3, dim=4, separation=9.0), 3),
    ],
)
def test_other_tasks_have_others(one, other, parts):
    first, second = fingerprint(one()), fingerprint(other())
    assert sum(first[part] != second[part] for part in first) >= parts


def test_the_same_images_read_otherwise_are_other_tasks(tmp_path):
    folder = draw_folder(tmp_path)
    options = {"ways": 2, "shots": 1, "queries": 2, "size": 8}
    families = [qs.tasks.from_folder(folder, **options, **more) for more in ({}, {"normalise": False}, {"invert": True})]
    assert len({str(fingerprint(family)) for family in families}) == 3


# ---- a run and its tasks -------------------------------------------------------------------------------------------------


def test_a_run_does_not_go_on_with_other_tasks(tmp_path):
    qs.meta_train(learner(), arrays(), out=tmp_path, **SETTINGS)
    before, again = files(tmp_path), learner()
    initial = [parameter.clone() for parameter in again.parameters()]
    with pytest.raises(CheckpointError, match=r"`tasks`: expected the tasks of the run in .*, got others: \w+ differ"):
        qs.meta_train(again, arrays(move=1e-6), out=tmp_path, resume=True, **SETTINGS | {"steps": 6})
    assert files(tmp_path) == before
    assert all(torch.equal(*pair) for pair in zip(initial, again.parameters(), strict=True))
    assert len(qs.meta_train(again, arrays(), out=tmp_path, resume=True, **SETTINGS | {"steps": 6}).history) == 6


def test_a_run_is_not_scored_on_other_data(tmp_path, monkeypatch, capsys):
    """An image more in the folder: another split of the same seed, which a score would not show."""
    monkeypatch.chdir(tmp_path)
    draw_folder(tmp_path / "images")
    words = "train prototypical --tasks folder --tasks.path images --tasks.ways 2 --tasks.queries 2 --tasks.size 28"
    words += " --tasks.channels 1 --network.channels 4 --train.steps 2 --train.tasks_per_step 2"
    words += " --train.validation_episodes 3 --train.executor loop"
    assert main([*words.split(), "--episodes", "4", "--controls", "none", "--out", "run"]) == 0
    assert main(["evaluate", "run", "--episodes", "4"]) == 0
    capsys.readouterr()
    draw(tmp_path / "images" / "class00" / "more.png", (9, 9, 9))
    assert main(["evaluate", "run", "--episodes", "4"]) == 2
    assert "`tasks`: expected the tasks of the run in run, got others" in capsys.readouterr().err


def test_a_score_of_another_learner_does_not_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "train maml --tasks sinusoid --train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 3"
    words += " --train.executor loop --episodes 4 --controls none --out run"
    assert main(words.split()) == 0
    run = qs.Run.open("run")
    assert run.evaluation is not None
    other = qs.MAML(qs.models.mlp())
    other.save("run/learner")
    assert qs.Run.open("run").evaluation is None


# ---- what is refused changes nothing -------------------------------------------------------------------------------------


TRAIN = "train maml --tasks sinusoid --train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 3 --train.executor loop"
TRAIN += " --episodes 4 --controls none"


def test_train_into_the_folder_of_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), "--out", "run"]) == 0
    before = files(tmp_path)
    assert main([*TRAIN.split(), "--inner_lr", "0.7", "--tasks.shots", "3", "--out", "run"]) == 2
    assert "expected a folder without a run, or resume=True, got one with checkpoints" in capsys.readouterr().err
    assert files(tmp_path) == before


@pytest.mark.parametrize("held", ["learner", "result.json", "evaluation.json"])
def test_a_run_without_checkpoints_is_a_run(tmp_path, held):
    (tmp_path / held).mkdir()
    with pytest.raises(ArgumentError, match=rf"expected a folder without a run, or resume=True, got one with {held}"):
        qs.meta_train(learner(), arrays(), out=tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == [held]


@pytest.mark.parametrize("command", ["train", "resume"])
def test_a_run_that_another_process_writes(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), "--out", "run"]) == 0
    before = files(tmp_path)
    with RunFolder("run", resume=True):
        words = [*TRAIN.split(), "--out", "run"] if command == "train" else ["resume", "run", "--steps", "9"]
        assert main(words) == 2
    assert "expected a run that no other process writes" in capsys.readouterr().err
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "bad", ["--train.tasks_per_step 0", "--train.precision fp99", "--train.executor swift", "--train.keep 0", "--inner_steps -1"]
)
def test_arguments_that_cannot_work_leave_no_folder(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), *bad.split(), "--out", "run"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_resume_with_other_settings_changes_nothing(tmp_path, monkeypatch):
    qs.meta_train(learner(), arrays(), out=tmp_path, **SETTINGS)
    before = files(tmp_path)
    with pytest.raises(CheckpointError, match="expected a checkpoint of a run with tasks_per_step=5"):
        qs.meta_train(learner(), arrays(), out=tmp_path, resume=True, **SETTINGS | {"tasks_per_step": 5})
    assert files(tmp_path) == before


# ---- the end of a run ----------------------------------------------------------------------------------------------------


def test_a_run_that_ended_by_its_seconds_goes_on_with_more(tmp_path):
    settings = SETTINGS | {"steps": 40}
    first = qs.meta_train(learner(), arrays(), out=tmp_path, seconds=1e-6, **settings)
    assert (first.stopped, len(first.history)) == ("seconds", 1)
    assert json.loads((tmp_path / "result.json").read_text())["stopped"] == "seconds"
    same = qs.meta_train(learner(), arrays(), out=tmp_path, resume=True, seconds=1e-6, **settings)
    assert (same.stopped, len(same.history)) == ("seconds", 1)
    whole = qs.meta_train(learner(), arrays(), out=tmp_path, resume=True, **settings)
    assert (whole.stopped, len(whole.history)) == ("steps", 40)
    unbroken = qs.meta_train(learner(), arrays(), **settings)
    assert [record["loss"] for record in whole.history] == [record["loss"] for record in unbroken.history]
    assert json.loads((tmp_path / "result.json").read_text())["steps"] == 40


def test_a_run_that_has_not_ended_has_no_result(tmp_path):
    def stop(record, step):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        qs.meta_train(learner(), arrays(), out=tmp_path, track=stop, **SETTINGS)
    assert qs.Run.open(tmp_path).state == "resumable from step 1"
    qs.meta_train(learner(), arrays(), out=tmp_path, resume=True, **SETTINGS)
    assert qs.Run.open(tmp_path).state == "finished"
