"""A run killed with SIGKILL at random moments resumes to exactly the numbers of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


@pytest.mark.needs("os.fork")
@pytest.mark.parametrize(("network", "kills", "steps"), [("mlp", 22, 120), ("conv4", 6, 40)])
def test_kills_at_random_moments(tmp_path, network, kills, steps):
    program = Path(__file__).with_name("kill_a_run.py")
    command = [sys.executable, str(program), str(tmp_path), str(kills), network]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = json.loads(done.stdout)
    assert found["kills"] >= 0.9 * kills
    assert found["steps"] == steps
    assert found["same"]
