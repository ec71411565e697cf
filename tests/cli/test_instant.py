"""What the console answers before torch is imported: it says the same as the package, and imports none of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import quickstudy
from quickstudy.errors import nearest
from quickstudy_console import words
from quickstudy_console.commands import COMMANDS

SOURCE = Path(__file__).resolve().parents[2] / "src"
PROGRAM = """
import sys
from quickstudy_console import main
code = main(sys.argv[1:])
print(code, sorted({"torch", "numpy", "quickstudy", "jsonargparse"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("argv", "code", "err"),
    [
        (["trian", "maml"], 2, "quickstudy: there is no command 'trian'. Did you mean 'train'?\n"),
        (["a\x1b[2Jb"], 2, "quickstudy: there is no command 'a\\x1b[2Jb'. Known are train, "),
        (["--versoin"], 2, "quickstudy: there is no command '--versoin'. "),
        (["--help"], 0, ""),
    ],
)
def test_no_torch_is_imported(argv, code, err):
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", PROGRAM, *argv], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f"{code} []\n")
    assert done.stderr.startswith(err)
    assert bool(done.stderr) == bool(err)


@pytest.mark.parametrize("word", ["trian", "list-runs", "doctro", "x", "", "prediction", "Train", "completion "])
def test_the_advice_is_that_of_the_package(word):
    assert words.nearest(word, COMMANDS) == nearest(word, COMMANDS)


def test_the_version_is_that_of_the_package(capsys, monkeypatch):
    from importlib import metadata

    from quickstudy_console import main

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{quickstudy.__version__}\n"

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{quickstudy.__version__}\n"
