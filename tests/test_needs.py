"""A test that needs something of the machine is skipped where it is missing, and fails in CI with the step that installs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import NEEDS, needs

TESTS = Path(__file__).resolve().parent


@pytest.fixture
def bare(monkeypatch):
    """A machine with nothing on its PATH, outside CI."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    return monkeypatch


INSTALLED = [name for name, need in NEEDS.items() if need.package]


@pytest.mark.parametrize("name", INSTALLED)
def test_what_is_missing_is_skipped_and_in_ci_a_failure(bare, name):
    want = re.escape(
        f"{name}: expected on this machine, got none. Run .ci/system, which installs the Debian package {NEEDS[name].package}"
    )
    with pytest.raises(pytest.skip.Exception, match=want):
        needs(name)
    bare.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=want):
        needs(name)


def test_data_that_no_package_has_is_skipped_in_ci_too(bare):
    bare.setenv("CI", "true")
    bare.setitem(NEEDS, "MNIST", NEEDS["MNIST"].__class__(lambda: None, may_lack=NEEDS["MNIST"].may_lack))
    with pytest.raises(
        pytest.skip.Exception, match=r"MNIST: expected on this machine, got none. ../shared/data/mnist lies beside"
    ):
        needs("MNIST")


def test_what_may_be_missing_in_ci_has_its_reason():
    for name, need in NEEDS.items():
        assert bool(need.package) != bool(need.may_lack), name


RUNS = """
import pytest
import unittest

@pytest.mark.needs("a browser")
def test_marked():
    pass

@pytest.mark.needs("MNIST")
def test_may_lack():
    pass

def test_of_another_package():
    raise unittest.SkipTest("as scikit-learn does")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""


RUN = """
import sys, pytest
from tests import needs
needs.NEEDS["MNIST"] = needs.Need(lambda: None, may_lack="no package has it")
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "-p", "tests.conftest", sys.argv[1]]))
"""


def test_a_whole_run_in_ci_with_an_empty_path(tmp_path):
    """What the table does not allow to be skipped fails, whoever skips."""
    program = tmp_path / "test_runs.py"
    program.write_text(RUNS)
    environment = os.environ | {"PATH": "", "CI": "true", "QUICKSTUDY_RUNTIME_TYPES": "0"}
    command = [sys.executable, "-c", RUN, str(program)]
    said = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True).stdout
    assert "1 failed, 1 skipped, 1 xfailed, 1 error" in said, said
    assert "ERROR ::test_marked - Failed: a browser: expected on this machine, got none. Run .ci/system" in said
    assert "FAILED ::test_of_another_package - skipped in CI: as scikit-learn does. Name what the test needs" in said
    assert "MNIST: expected on this machine, got none. No package has it" in said


def test_every_skip_is_of_the_table():
    by_hand = re.compile(r"pytest\.(skip|importorskip|mark\.skip(if)?)\b(?!\.Exception)")
    found = [path.name for path in TESTS.rglob("*.py") if by_hand.search(path.read_text(encoding="utf-8"))]
    assert found == ["needs.py"]


def test_as_a_program_it_prints_the_packages_that_are_missing():
    command = [sys.executable, "-m", "tests.needs"]
    done = subprocess.run(command, cwd=TESTS.parent, env={"PATH": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [NEEDS[name].package for name in INSTALLED]
