"""Completion: the script that comes along is that of the commands, and it is printed without torch.

After a change of an option:  UPDATE=1 pytest tests/cli/test_completion.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quickstudy.cli.completion import script
from quickstudy_console.completion import SCRIPT

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_the_script_that_comes_along_is_that_of_the_commands():
    made = script()
    if os.environ.get("UPDATE"):
        SCRIPT.write_text(made, encoding="utf-8")
    assert SCRIPT.read_text(encoding="utf-8") == made


def test_it_is_printed_without_torch():
    program = "import sys; from quickstudy_console import main; main(['completion', 'bash']); print(sorted(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    script, modules = done.stdout[: done.stdout.rindex("[")], done.stdout[done.stdout.rindex("[") :]
    assert script == SCRIPT.read_text(encoding="utf-8")
    assert not {"'torch'", "'numpy'", "'quickstudy'", "'jsonargparse'"} & set(modules.strip("[]\n").split(", "))


@pytest.mark.parametrize("words", [[], ["fish"], ["bash", "zsh"]])
def test_another_shell_is_refused(words, capsys):
    from quickstudy.cli import main

    assert main(["completion", *words]) == 2
    assert "expected bash or zsh, got" in capsys.readouterr().err
