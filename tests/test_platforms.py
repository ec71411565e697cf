"""What other systems lack or count otherwise, as far as it can be tested here."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from quickstudy.evaluation.peak_memory import peak_mb

SOURCE = Path(__file__).resolve().parents[1] / "src"
WITHOUT = """
import sys
for name in ("resource", "fcntl", "termios", "pwd", "grp"):  # modules that Windows does not have
    sys.modules[name] = None
import importlib, pkgutil, quickstudy, quickstudy_console
for one in pkgutil.walk_packages(quickstudy.__path__, "quickstudy."):
    if one.name not in ("quickstudy.cli.__main__", "quickstudy.artifacts.alone.predict"):
        importlib.import_module(one.name)
from quickstudy.evaluation.peak_memory import peak_mb
print(peak_mb())
"""


def test_everything_is_imported_without_the_modules_of_posix():
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, timeout=250)
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_peak_memory_is_in_the_unit_of_the_system(system, unit, monkeypatch):
    usage = types.SimpleNamespace(ru_maxrss=300 * 2**20 // unit)
    fake = types.SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: usage)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "resource", fake)
    monkeypatch.setattr("sys.platform", system)
    assert peak_mb() == 300
