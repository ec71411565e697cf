"""Arguments of tasks in the form that the errors suggest, and nothing that runs."""

from __future__ import annotations

import pytest
import yaml
from tests.domains.images.pictures import draw_folder

import quickstudy as qs
from quickstudy.artifacts.rebuilding import build
from quickstudy.artifacts.written import as_objects
from quickstudy.cli import main
from quickstudy.cli.config import parse
from quickstudy.errors import ArgumentError


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"augment": "[Rotations()]"}, {"augment": [qs.tasks.Rotations()]}),
        ({"augment": "Rotations"}, {"augment": [qs.tasks.Rotations()]}),
        ({"augment": ["Rotations()", "MixTasks(alpha=0.3", "probability=1.0)"]}, None),
        ({"augment": "[Rotations(), MixTasks(0.3, probability=1.0)]"}, None),
        ({"augment": "[]", "transform": []}, {"augment": [], "transform": []}),
        ({"transform": "RandomFlip(), RandomCrop(2)"}, {"transform": [qs.tasks.RandomFlip(), qs.tasks.RandomCrop(2)]}),
        ({"split": "(0.6, 0.2, 0.2)"}, {"split": [0.6, 0.2, 0.2]}),
        ({"split": "0.6,0.2,0.2"}, {"split": [0.6, 0.2, 0.2]}),
        ({"split": "random"}, {"split": "random"}),
        ({"split": "lists/(a)"}, {"split": "lists/(a)"}),
    ],
)
def test_what_is_written(given, found):
    mixed = {"augment": [qs.tasks.Rotations(), qs.tasks.MixTasks(0.3, 1.0)]}
    assert as_objects(given) == (found or mixed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Rotation()]", "got Rotation. Did you mean 'Rotations'?"),
        ("[RandomFlip()]", "expected one of Rotations, SplitClasses, MergeClasses, FeatureNoise, .*, got RandomFlip"),
        ("[MixTasks(alpa=1)]", "expected a list as .Rotations..., got MixTasks.alpa=1."),
        ("[MixTasks(alpha=-1)]", "`MixTasks.alpha.`: expected above 0, got -1"),
        ("[MixTasks(alpha=print(1))]", "expected a list as"),
        ("__import__('os').system('ls')", "expected a list as"),
        ("[" * 900, "expected a list as"),
        ("Rotations(), " * 200, "expected a list as"),
        ("a b", "expected a list as"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ArgumentError, match=message.replace("?", r"\?")):
        as_objects({"augment": text})


def test_a_command_line_and_its_config_make_the_same_tasks(tmp_path, monkeypatch, capsys):
    draw_folder(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    words = "--tasks folder --tasks.path mine --tasks.size 12 --tasks.ways 2 --tasks.queries 2 --tasks.split (0.6,0.2,0.2)"
    words += " --tasks.augment [Rotations(),MixTasks(alpha=0.3)] --tasks.transform [RandomFlip()] --network.channels 4"
    config, _ = parse(words.split(), "prototypical", None)
    tasks, _ = build(config)
    assert [len(tasks.classes[part]) for part in ("train", "validation", "test")] == [4 * 6, 2, 2]  # in four rotations
    assert {type(one).__name__ for one in tasks.train.augment} | {"Rotations"} == {"Rotations", "MixTasks"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    again, _ = parse([], None, "config.yaml")
    assert build(again)[0].classes == tasks.classes
    assert main(["train", "prototypical", *words.replace("Rotations()", "Rotation()").split(), "--out", "run"]) == 2
    assert "Did you mean 'Rotations'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
