"""A run killed with SIGKILL at random moments resumes to exactly the numbers of one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork")
def test_twenty_kills(tmp_path):
    program = Path(__file__).with_name("kill_a_run.py")
    command = [sys.executable, str(program), str(tmp_path), "22"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    found = json.loads(done.stdout)
    assert found["kills"] >= 20
    assert found["steps"] == 120
    assert found["same"]
