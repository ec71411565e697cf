"""What files and folders are called reaches the terminal as text, and one broken run hides no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.domains.images.pictures import draw, draw_folder

from quickstudy.cli import main
from quickstudy.cli.terminal import printable

TRAIN = "train maml --tasks sinusoid --train.steps 1 --train.tasks_per_step 2 --train.validation_episodes 3 --train.executor loop"
TRAIN += " --episodes 2 --controls none --out"


def test_printable():
    assert printable("class [/x] ü 中") == "class [/x] ü 中"
    assert printable("a\x1b[31mb\nc\r\x07") == "a\\x1b[31mb\\x0ac\\x0d\\x07"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """One good run, and copies of it that are broken in many ways or called what a terminal would obey."""
    monkeypatch.chdir(tmp_path)
    assert main([*TRAIN.split(), "runs/good"]) == 0
    for name, file, text in (
        ("no yaml", "config.yaml", "{"),
        ("a list", "config.yaml", "[1]"),
        ("no sections", "config.yaml", "quickstudy: 1"),
        ("another score", "evaluation.json", "[]"),
        ("half a score", "evaluation.json", "{"),
        ("no learner", "learner/config.json", "{"),
        ("[/x] \x1b[31m\n", "evaluation.json", "{}"),
    ):
        folder = Path("runs") / name
        for path in [one for one in Path("runs/good").rglob("*") if one.is_file()]:
            target = folder / path.relative_to("runs/good")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        (folder / file).write_text(text)
    return tmp_path


def test_a_broken_run_has_its_row_and_hides_no_other(runs, capsys):
    capsys.readouterr()
    assert main(["list", "runs", "--json"]) == 0
    rows = {row["run"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert len(rows) == 8
    assert rows["runs/good"]["state"] == "finished"
    for name in ("no yaml", "a list", "half a score", "another score"):
        assert rows[f"runs/{name}"]["state"].startswith("broken: "), rows[f"runs/{name}"]
    assert main(["list", "runs"]) == 0
    shown = capsys.readouterr().out
    assert "[/x]" in shown
    assert "\x1b[31m" not in shown


def test_names_of_files_and_classes_are_shown_as_text(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    support = draw_folder(tmp_path / "support")
    (support / "class00").rename(support / "a\x1b[2Jclass")
    draw(tmp_path / "asked" / "b\x1b[2J.png", (9, 9, 9))
    assert main(["predict", "--support", "support", "--query", "asked"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main(["predict", "--support", "no\x1b[2J", "--query", "asked"]) == 2
    assert "no\\x1b[2J" in capsys.readouterr().err
