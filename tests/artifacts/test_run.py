"""A run that Python made and one that the command line made are one thing: the same files, and every command works on both."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import quickstudy as qs
from quickstudy.cli import main
from quickstudy.domains.images.drawing import draw_characters
from quickstudy.errors import CheckpointError, UnsupportedError
from quickstudy.meta.outer.outer import Gradient
from quickstudy.randomness import seeded

TRAIN = {"steps": 4, "tasks_per_step": 2, "validation_episodes": 4, "executor": "loop"}
READ = {"size": 28, "channels": 1, "invert": True, "ways": 3, "queries": None, "split": (10, 4, 4)}
LINE = (
    "train prototypical --tasks folder --tasks.path mine --tasks.size 28 --tasks.channels 1 --tasks.invert true --tasks.ways 3 "
    "--tasks.split (10,4,4) --network.channels 8 --train.steps 4 --train.tasks_per_step 2 --train.validation_episodes 4 "
    "--train.executor loop --episodes 20 --controls none --out runs/command"
)


def write_images(root: Path, classes: int, each: int, seed: int) -> None:
    """White paper with black ink, one folder a class."""
    drawn = draw_characters(classes, each, generator=torch.Generator().manual_seed(seed), size=28)
    for number in range(classes):
        for place in range(each):
            path = root / f"class{seed}-{number}" / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 - drawn[number, place, 0]).numpy()).save(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with images, others, and the two runs in runs/."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        write_images(home / "mine", classes=18, each=8, seed=0)
        write_images(home / "others", classes=7, each=6, seed=1)
        with seeded(0):
            learner = qs.Prototypical(qs.models.conv4(channels=8))
        tasks = qs.tasks.from_folder("mine", **READ)
        qs.meta_train(learner, tasks, **TRAIN, out="runs/python", progress=False)
        assert main(LINE.split()) == 0
    return home


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def config(run: str) -> dict:
    return yaml.safe_load(Path("runs", run, "config.yaml").read_text(encoding="utf-8"))


def files(run: str) -> list[str]:
    return sorted(path.relative_to(Path("runs", run)).as_posix() for path in Path("runs", run).rglob("*") if path.is_file())


def test_both_have_the_same_files_settings_and_score(here, capsys):
    assert config("python") == config("command")
    assert config("python")["start"] == "seed"
    assert config("python")["tasks"]["path"] == str(here / "mine")
    assert config("python")["tasks"]["queries"] == 7  # of eight examples, one of which is the support
    for name in ("preprocessing.json", "splits.json", "identity.json", "calibration.json"):
        assert Path("runs/python", name).read_text() == Path("runs/command", name).read_text()
    assert main(["evaluate", "runs/python", "--episodes", "20"]) == 0
    assert main(["report", "runs/python", "--episodes", "20", "--controls", "none"]) == 0
    assert files("python") == files("command")
    ours, theirs = (json.loads(Path("runs", run, "evaluation.json").read_text()) for run in ("python", "command"))
    assert ours["per_episode"] == theirs["per_episode"]
    assert f"accuracy {100 * theirs['mean']:.2f}" in capsys.readouterr().out


def test_list_shows_both_alike(here, capsys):
    assert main(["list", "runs", "--json"]) == 0
    rows = {Path(row["run"]).name: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    for row in rows.values():
        del row["run"], row["test"]
    assert rows["python"] == rows["command"]
    assert (rows["python"]["learner"], rows["python"]["tasks"], rows["python"]["of"]) == ("prototypical", "folder", 4)


def test_predict_and_export(here, capsys):
    answers = []
    for run in ("python", "command"):
        assert main(f"predict runs/{run} --support others --query others --json".split()) == 0
        answers.append(capsys.readouterr().out)
        assert main(f"export runs/{run} --support others --out {run}.pt2".split()) == 0
        assert f"{run}.pt2: answers as the predictor does" in capsys.readouterr().out
    assert answers[0] == answers[1]
    assert json.loads(Path("python.pt2.json").read_text()) == json.loads(Path("command.pt2.json").read_text())


def test_resume(here, capsys):
    import shutil

    for run in ("python", "command"):
        shutil.copytree(f"runs/{run}", f"longer/{run}")
        assert main(f"resume longer/{run} --steps 6 --episodes 20 --controls none".split()) == 0
    losses = [[record["loss"] for record in qs.Run.open(f"longer/{run}").metrics] for run in ("python", "command")]
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]


def test_evaluate_on_other_data(here, capsys):
    words = "evaluate runs/python --episodes 20 --json --tasks folder --tasks.path others --tasks.queries 4"
    assert main(words.split()) == 0
    found = json.loads(capsys.readouterr().out)
    run = qs.Run.open("runs/python")
    others = qs.tasks.from_folder("others", part="test", size=28, channels=1, invert=True, ways=3, queries=4)
    assert others.classes["train"] == []
    assert len(others.classes["test"]) == 7
    score = qs.evaluate(run.learner, run.fitted(others.test), 20)
    assert found["mean"] == pytest.approx(score.mean)
    assert found["protocol"]["ways"] == 3  # the run's, since nothing else was asked for
    assert run.fitted(others.test).preprocessing == run.preprocessing


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            "folder --tasks.path others --tasks.queries 4 --tasks.channels 3",
            "`--tasks.channels`: expected 1, as the run was",
        ),
        (
            "strokes --tasks.classes [5,5,5] --tasks.size 20 --tasks.queries 4",
            "`--tasks.size`: expected 28, as the run was",
        ),
        ("sinusoid", "`--tasks`: expected the target Labels, as the run was trained with, got the target Values"),
        ("folder --tasks.path others", "got 6 of class 'class1-0' and too few of 6 more. Give queries=5 (--tasks.queries 5)"),
        ("foldr --tasks.path others", "got foldr. Did you mean 'folder'?"),
        ("folder --tasks.pth others", "`--tasks.pth`: expected a known flag, got one that is not. Did you mean '--tasks.path'?"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(here, options, text, capsys):
    assert main(["evaluate", "runs/python", "--episodes", "4", "--tasks", *options.split()]) == 2
    assert text in capsys.readouterr().err


def test_classes_that_were_trained_on_are_said(here, capsys):
    line = "evaluate runs/python --episodes 4 --tasks folder --tasks.path mine"
    assert main(line.split()) == 0
    assert "warning: 14 of these classes are called as classes that the run was trained on" in capsys.readouterr().err


def test_the_first_score_is_kept_and_no_other_protocol_is(here):
    run = qs.Run.open("runs/command")
    kept = run.evaluation
    assert kept is not None
    run.score(10)
    assert main(["evaluate", "runs/command", "--episodes", "4", "--shots", "2", "--queries", "2"]) == 0
    assert run.evaluation == kept


# ---- what no config can describe -------------------------------------------------------------------------------------------


class Mine(qs.Learner):
    """A learner of the user's own."""

    def __init__(self, embed: nn.Module):
        super().__init__()
        self.embed = embed

    def learn(self, support):
        return self.embed(support.x).mean(0)

    def predict(self, values, x):
        return (self.embed(x) - values).square().sum(1, keepdim=True).expand(-1, 2)


def arrays() -> qs.tasks.TaskFamily:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return qs.tasks.from_arrays(x, [label for label in "abcdef" for _ in range(10)], ways=2, queries=3, split=(2, 2, 2))


def test_a_learner_and_tasks_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tasks = arrays()
    qs.meta_train(Mine(nn.Linear(4, 3)), tasks, **TRAIN, out="runs/own", progress=False)
    assert config("own")["tasks"]["given"] == ["x", "y"]
    assert config("own")["learner"]["own"].endswith("Mine")
    run = qs.Run("runs/own", tasks)
    assert main(["list", "runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == "from_arrays"
    learner = run.load(embed=nn.Linear(4, 3), learner=Mine)
    assert qs.evaluate(learner, run.tasks.test, 4).mean >= 0
    with pytest.raises(CheckpointError, match=r"got from_arrays, of x, y in memory\. In Python hand them in, qs\.Run\("):
        _ = qs.Run.open("runs/own").tasks
    assert main(["resume", "runs/own"]) == 2
    assert "can make again, got one with tasks from_arrays (x, y); learner" in capsys.readouterr().err
    assert main(["evaluate", "runs/own"]) == 2
    assert "Call load(path, embed=...) with one built as it was for training." in capsys.readouterr().err
    assert main(["train", "--config", "runs/own/config.yaml"]) == 2
    assert "Train it in Python" in capsys.readouterr().err
    longer = qs.meta_train(Mine(nn.Linear(4, 3)), tasks, **TRAIN | {"steps": 6}, out="runs/own", resume=True, progress=False)
    assert len(longer.history) == 6


def test_an_outer_method_and_a_loss_are_in_the_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner, tasks = qs.Prototypical(nn.Linear(4, 3)), qs.tasks.GaussianClasses(ways=3, dim=4)
    outer = Gradient(optimizer=partial(torch.optim.SGD, lr=0.25))
    qs.meta_train(qs.MAML(qs.models.mlp(4, 3)), tasks, **TRAIN, outer=outer, out="runs/outer", progress=False)
    assert config("outer")["outer"]["arguments"]["optimizer"] == {"setting": "SGD", "arguments": {"lr": 0.25}}
    assert main(["resume", "runs/outer", "--steps", "5", "--episodes", "4", "--controls", "none"]) == 0
    assert len(qs.Run.open("runs/outer").metrics) == 5
    qs.meta_train(learner, tasks, **TRAIN, loss=lambda p, y: p.sum(), out="runs/loss", progress=False)
    assert config("loss")["given"] == ["loss"]


def test_a_start_that_was_given_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = qs.tasks.Sinusoid()
    for seed, start in ((0, "seed"), (1, "given")):
        with seeded(seed):
            learner = qs.MAML(qs.models.mlp(), inner_lr=0.01)
        qs.meta_train(learner, tasks, **TRAIN, out=f"runs/{start}", progress=False)
        assert (config(start)["start"], config(start)["learner"]["name"]) == (start, "maml")


def test_other_tasks_of_another_shape_in_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    qs.meta_train(qs.Prototypical(qs.models.mlp(4, 3)), arrays(), **TRAIN, out="runs/four", progress=False)
    assert main(["evaluate", "runs/four"]) == 2
    assert "quickstudy evaluate RUN --tasks folder --tasks.path PATH." in capsys.readouterr().err
    run = qs.Run.open("runs/four")
    with pytest.raises(UnsupportedError, match=r"`tasks`: expected the shape of an example \[\[4\]\], .* got .* \[\[5\]\]"):
        run.fitted(qs.tasks.GaussianClasses(ways=2, dim=5).test)
    assert run.fitted(qs.tasks.GaussianClasses(ways=2, dim=4).test).protocol["ways"] == 2
