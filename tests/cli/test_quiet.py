"""A reader that goes away, and Ctrl-C, end the command quietly, whenever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}


def started(*words: str, cwd: Path | None = None) -> subprocess.Popen:
    command = [sys.executable, "-m", "quickstudy_console", *words]
    return subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "words", [["--help"], ["completion", "bash"], ["train", "maml", "--help"], ["explain", "maml"], ["list"]]
)
def test_a_reader_that_has_gone(words, tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "metrics.jsonl").write_text("{")
    with started(*words, cwd=tmp_path) as running:
        running.stdout.close()
        err = running.stderr.read()
    assert (running.returncode, err) == (141, "")


@pytest.mark.needs("os.fork")  # as the signals of POSIX
def test_ctrl_c_while_torch_is_imported():
    running = started("doctor")
    maps = Path(f"/proc/{running.pid}/maps")
    deadline = time.monotonic() + 60
    while maps.parent.is_dir() and "libtorch" not in maps.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, "", "quickstudy: stopped\n")
