"""The command line's words, as committed. After a change that is meant:  UPDATE=1 pytest tests/cli/test_outputs.py"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quickstudy.cli import COMMANDS, main

FOLDER = Path(__file__).parent / "outputs"
CASES = {
    "usage": [],
    **{f"{command} --help": [command, "--help"] for command in COMMANDS},
    "train maml --tasks omniglot --help": ["train", "maml", "--tasks", "omniglot", "--help"],
    "explain maml": ["explain", "maml"],
    "explain prototypical": ["explain", "prototypical"],
    "no such command": ["dance"],
    "no such learner": ["train", "mamal"],
    "no such flag": ["train", "maml", "--tasks", "sinusoid", "--inner_lrr", "0.1"],
    "no such run": ["evaluate", "nowhere"],
}


@pytest.mark.parametrize("case", CASES)
def test_as_committed(case, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    try:
        code = main(CASES[case])
    except SystemExit as left:
        code = left.code
    shown = capsys.readouterr()
    text = f"{shown.out}---- stderr\n{shown.err}---- exit code {code or 0}\n"
    file = FOLDER / f"{case}.txt"
    if os.environ.get("UPDATE"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
