"""A forked process does not wait for the threads that it has lost; a program that forks ends within its time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import CONTROLS

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.needs("os.fork")

EACH = (
    "an operator of torch",
    "adapt and predict",
    "loop",
    "vmap",
    "auto",
    "new threads",
    "the parent's executor",
    "evaluate",
    "meta_train",
    "a child's child",
    "from a thread among others",
)


def said(*arguments):
    """What became of each child of tests/forked.py."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.forked", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def children():
    return said()


@pytest.mark.parametrize("name", EACH)
def test_a_forked_child_computes_what_its_parent_did(name, children):
    assert children[name] == "same"


@pytest.mark.needs("OpenMP")
@pytest.mark.parametrize("name", CONTROLS)
def test_the_control_hangs(name, children):
    """The parent had used its threads, so that a child that does not give them up waits for ever."""
    assert children[name] == "hangs"


NO_COMPILER = r"UnsupportedError: `executor`: expected one that serves this .* it was forked after they had started"


def test_a_child_is_told_that_it_has_no_compiler(children):
    assert re.match(NO_COMPILER, children["compiled"])


def test_no_child_is_left_out(children):
    assert children.keys() == {*EACH, *CONTROLS, "compiled"}


@pytest.mark.compiled
@pytest.mark.thorough
def test_after_torch_compile_itself():
    """The same after a graph was compiled, with the executor that holds it too; `auto` takes another one."""
    found = said("compiled")
    assert re.match(NO_COMPILER, found["compiled"])
    assert re.match(NO_COMPILER, found["compiled anew"])
    assert found["auto after it"] == "same"
