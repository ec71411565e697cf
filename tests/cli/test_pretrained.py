"""pretrained: every learner that comes along has scores, of these weights, beside its control."""

from __future__ import annotations

import json

import pytest

import quickstudy as qs
from quickstudy.artifacts.store import PRETRAINED
from quickstudy.cli import main
from quickstudy.cli.pretrained import scores_of


def test_every_learner_has_scores_beside_its_control(capsys):
    assert main(["pretrained", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["name"] for record in records] == sorted(path.name for path in PRETRAINED.iterdir() if path.is_dir())
    for record in records:
        assert record["scores"], "its weights are others than those scored: run the command anew that scores.json names"
        told = {(row["tasks"], row["shots"], row["learner"]): row for row in record["scores"]}
        controls = {learner for _, _, learner in told} - {record["name"]}
        assert len(controls) >= 2
        for tasks, shots, _ in told:
            own, *others = (told[tasks, shots, learner] for learner in (record["name"], *controls))
            better = max(others, key=lambda row: row["accuracy"])
            if record["name"] == "strokes" and tasks != "Fashion":  # reported as it is: garments are no characters
                assert own["accuracy"] - own["ci95"] > better["accuracy"] + better["ci95"], (tasks, shots)
    assert main(["pretrained"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "strokes\n",
        "intents\n",
        "intents-minilm\n",
        "TF-IDF of characters, logistic regression",
        "trained on  ",
        "nearest centroid of the pixels",
        "5-way 1-shot",
        "measured on 20",
        "Omniglot, Tibetan",
    ):
        assert text in shown


def test_scores_of_other_weights_are_not_shown(tmp_path):
    import shutil

    shutil.copytree(PRETRAINED / "strokes", tmp_path / "strokes")
    assert scores_of(tmp_path / "strokes")["scores"]
    qs.NearestCentroid().save(tmp_path / "strokes" / "learner")
    assert scores_of(tmp_path / "strokes")["scores"] == []


def test_the_scores_are_those_that_an_evaluation_gives(omniglot_root):
    """40 tasks of one alphabet, within what so few can say."""
    tasks = qs.tasks.Omniglot(omniglot_root, split="alphabet", rotations=False).test
    alphabet = [index for index, name in enumerate(tasks.class_names) if name.startswith("Tibetan/")]
    (row,) = [
        row
        for row in scores_of(PRETRAINED / "strokes")["scores"]
        if (row["tasks"], row["shots"], row["learner"]) == ("Omniglot, Tibetan", 1, "strokes")
    ]
    found = qs.evaluate(qs.load("strokes"), tasks.only(alphabet).with_(ways=5, shots=1), 40)
    assert found.mean == pytest.approx(row["accuracy"], abs=2 * found.ci95)


def test_a_process_that_imported_nothing_else_can_load_them():
    """What a saved learner may name is what quickstudy has, whichever of its modules a program happened to import."""
    import re
    import subprocess
    import sys

    code = "import quickstudy; from quickstudy.artifacts.description import classes; print(*classes())"
    known = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    for config in PRETRAINED.glob("*/learner/config.json"):
        named = set(re.findall(r'"class": *"(\w+)"', config.read_text(encoding="utf-8")))
        assert named
        assert named <= known, config
    assert {"Transducer", "TCResNet", "ByteConv", "Tables"} <= known
