"""predict: the nearest class beside "unknown", the accuracy of labelled folders, and a broken file that hides no other."""

from __future__ import annotations

import json

import pytest
import torch
from tests.cli.test_cli import write_images

from quickstudy.cli import main
from quickstudy.domains.images.drawing import draw_characters

NAMES = ["one", "two", "three"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three classes with two images each, two further images of each class in folders of their names, and a fourth character."""
    drawn = draw_characters(4, 4, generator=torch.Generator().manual_seed(0))
    write_images(tmp_path / "support", drawn[:3, :2], NAMES)
    write_images(tmp_path / "query", drawn[:3, 2:], NAMES)
    write_images(tmp_path / "query", drawn[3:, 2:], ["another"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ["predict", "--support", "support", "--query", "query"]


def test_labelled_folders_give_an_accuracy(folders, capsys):
    assert main([*WORDS, "--json"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    labels = [row.get("label") for row in rows]
    assert labels == [None, None, "one", "one", "three", "three", "two", "two"]
    right = sum(row["class"] == row.get("label") for row in rows)
    line = f"accuracy {100 * right / 6:.1f} %: {right} of the 6 images in folders of a class"
    assert shown.err == line + "\n"
    assert main(WORDS) == 0
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert main(["predict", "--support", "support", "--query", "query/another"]) == 0
    assert "accuracy" not in capsys.readouterr().out


def test_the_nearest_class_is_beside_unknown(folders, capsys):
    assert main([*WORDS, "--json"]) == 0
    known = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all("nearest" not in row for row in known)
    assert main([*WORDS, "--json", "--unknown"]) == 0
    shown = capsys.readouterr()
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [(row["nearest"], row["probability"]) for row in rows] == [(row["class"], row["probability"]) for row in known]
    rejected = [row for row in rows if row["class"] == "unknown"]
    assert rejected
    labelled = sum(row["class"] == "unknown" for row in rows if "label" in row)
    assert ("called unknown" in shown.err) == bool(labelled)
    assert main([*WORDS, "--unknown"]) == 0
    assert f"unknown (nearest: {rejected[0]['nearest']})  {rejected[0]['probability']:.3f}" in capsys.readouterr().out


def test_a_broken_image_hides_no_other(folders, capsys):
    (folders / "query" / "one" / "0.png").write_bytes(b"no image")
    (folders / "query" / "two" / "1.png").write_bytes((folders / "query" / "two" / "1.png").read_bytes()[:90])
    assert main([*WORDS, "--json"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 6
    for text in (
        "query/one/0.png`: expected an image",
        "query/two/1.png`: expected",
        "2 of 8 images could not be read",
        "of the 4",
    ):
        assert text in shown.err
    assert main([*WORDS, "--strict"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, "query/one/0.png (none of PNG" in shown.err, "; query/two/1.png (" in shown.err) == ("", True, True)
    assert main(["predict", "--support", "support", "--query", "query/one/0.png"]) == 2
    assert capsys.readouterr().out == ""
    for name in ("one", "two"):
        (folders / "support" / name / "0.png").write_bytes(b"no image")
    assert main(WORDS) == 2
    shown = capsys.readouterr()
    assert (shown.out, "support/one/0.png (" in shown.err, "support/two/0.png (" in shown.err) == ("", True, True)
