"""The tables of the page on the learner that comes along are those of the files that were measured."""

from __future__ import annotations

import os

from benchmarks.make.pretrained_page import CHOICE, PAGE, SCORES, page, verdict

from quickstudy.artifacts.store import PRETRAINED, weights_hash
from quickstudy.files import read_json, write_text


def test_the_tables_are_those_of_the_files():
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("UPDATE"):
        write_text(PAGE, page(text))
    assert PAGE.read_text(encoding="utf-8") == page(text), "run UPDATE=1 pytest on this file"


def test_the_files_are_of_the_weights_that_ship():
    for name, file in SCORES.items():
        assert read_json(file, expected="scores", do="")["of"] == weights_hash(PRETRAINED / name / "learner"), name
    assert read_json(CHOICE, expected="scores", do="")["of"] == weights_hash(PRETRAINED / "strokes" / "learner")
    assert set(SCORES) == {path.name for path in PRETRAINED.iterdir() if path.is_dir()}


def test_choosing_is_no_worse_than_the_best_fixed_head_by_more_than_the_interval():
    for row in read_json(CHOICE, expected="scores", do="")["rows"]:
        assert row["difference"] > -row["ci95"], row


def test_a_row_that_is_not_above_its_controls_is_named():
    rows = [
        {"tasks": tasks, "shots": 1, "learner": learner, "accuracy": accuracy, "ci95": 0.01}
        for tasks, own in (("far above", 0.9), ("hardly", 0.715))
        for learner, accuracy in (("strokes", own), ("pixels", 0.7))
    ]
    assert verdict(rows, "strokes") == (
        "The learner's interval lies above that of the better control in 1 of 2 rows. It does not for: hardly at 1 shot."
    )
