"""`evaluate` says which classes are worst and which are confused, and the run's record keeps it."""

import json

import pytest
from tests.cli.test_cli import quickstudy

import quickstudy as qs

TASKS = "--tasks.ways 2 --tasks.queries 3 --tasks.classes [4,4,4] --tasks.examples 6 --tasks.size 16"
TRAIN = "--train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 5 --network.channels 4 --episodes 30 --out run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on four drawn classes."""
    home = tmp_path_factory.mktemp("runs")
    done = quickstudy("train", "prototypical", "--tasks", "strokes", *TASKS.split(), *TRAIN.split(), cwd=home)
    assert done.returncode == 0, done.stderr
    return home


def record(folder):
    return json.loads((folder / "run" / "evaluation.json").read_text(encoding="utf-8"))


def test_train_saves_them(folder):
    run, held = qs.Run(folder / "run"), record(folder)
    found = qs.evaluate(run.learner, run.tasks.test, 30).by_class
    assert [(one["name"], one["accuracy"], one["tasks"]) for one in held["by_class"]["classes"]] == [
        (one.name, pytest.approx(one.accuracy), one.tasks) for one in found.classes
    ]
    assert [one["times"] for one in held["by_class"]["confusions"]] == [one.times for one in found.confusions]
    assert run.evaluation["by_class"] == held["by_class"]


def test_evaluate_prints_the_worst_and_keeps_the_runs_own_score(folder):
    before = record(folder)
    (folder / "run" / "evaluation.json").unlink()
    done = quickstudy("evaluate", "run", "--episodes", "30", cwd=folder)
    out, err = done.stdout, done.stderr
    worst = before["by_class"]["classes"][0]
    assert "worst of 4 classes:" in out
    assert f"  {worst['name']} {100 * worst['accuracy']:.2f} +- " in out
    assert "most frequent confusions:" in out
    assert " taken for seed0/" in out
    assert "saved: run/evaluation.json" in err
    assert record(folder)["by_class"] == before["by_class"]


@pytest.mark.parametrize("other", [("--seed", "1"), ("--shots", "2"), ("--metrics", "nll"), ("--episodes", "20")])
def test_another_score_is_not_the_runs_own(folder, other):
    before = record(folder)
    episodes = () if "--episodes" in other else ("--episodes", "30")
    done = quickstudy("evaluate", "run", *episodes, *other, cwd=folder)
    assert done.returncode == 0
    assert "saved" not in done.stderr
    assert record(folder) == before


def test_the_json_has_them(folder):
    done = quickstudy("evaluate", "run", "--episodes", "30", "--json", cwd=folder)
    assert json.loads(done.stdout)["by_class"] == record(folder)["by_class"]


def test_targets_have_none(tmp_path):
    options = "--train.steps 2 --train.tasks_per_step 2 --train.validation_episodes 5 --episodes 5 --out run"
    assert quickstudy("train", "maml", "--tasks", "sinusoid", *options.split(), cwd=tmp_path).returncode == 0
    done = quickstudy("evaluate", "run", "--episodes", "5", cwd=tmp_path)
    assert done.returncode == 0
    assert "mean squared error" in done.stdout
    assert "classes" not in done.stdout
    assert "by_class" not in record(tmp_path)
