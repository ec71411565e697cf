"""What holds for every test: warnings are errors, types are checked, numbers repeat, nothing leaks to the next test."""

import os
import signal

from tests import needs, repeatable

# Workers share the processors: a thread of OpenMP that waits gives its own up, where it would spin. Read as torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Numbers repeat bit for bit, on every make of processor. Read as torch is imported.
os.environ.update(repeatable.FIXED | dict(os.environ))
# scikit-learn's own checks of arrays of another library run only where this is set. Read as scipy is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import logging
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
import torch

from tests import runtime_types

# Types of the package are checked under the tests only, so this stands before any import of it.
# QUICKSTUDY_RUNTIME_TYPES=0 turns it off (to time something, or to see whether the checker is at fault).
if os.environ.get("QUICKSTUDY_RUNTIME_TYPES", "1") != "0":
    runtime_types.install("quickstudy")

THREADS = 2

# Each warning that may pass, with the reason. Every other warning fails the test that raised it.
ALLOWED_WARNINGS: list[tuple[str, str]] = [
    (r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning", "torch's own inductor uses torch.jit when it is imported"),
    (r"ignore:The given buffer is not writable:UserWarning", "torch before 2.13 reads the program of torch.export.load in place"),
    (r"ignore:.*autograd.*should not be instantiated:DeprecationWarning", "dynamo makes one of each Function that it traces"),
]

hypothesis.settings.register_profile("quickstudy", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("quickstudy")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error")
    for line, _ in ALLOWED_WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    config.addinivalue_line("markers", "wrong_types: hands the package arguments of a wrong type, to see its own error")
    config.addinivalue_line("markers", "needs(*names): needs these of the machine (tests/needs.py)")
    logging.getLogger("torch.__trace").propagate = False  # torch's structured trace, empty lines in every failure's log
    torch.set_num_threads(THREADS)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun behind a shell's `&`, which its programs would inherit
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            needs.needs(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """In CI a skip is a failure, whoever skips, unless the table of what is needed allows it."""
    report = yield
    why = call.excinfo and call.excinfo.value
    if isinstance(why, pytest.skip.Exception) and needs.in_ci() and not needs.allowed(why):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {why}. Name what the test needs in tests/needs.py, or install it"
    return report


@pytest.fixture(autouse=True)
def _global_state(request: pytest.FixtureRequest):
    """Each test starts from the same random state, and torch's global settings are as they were when it ends."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    random_state, unchecked = torch.get_rng_state(), jaxtyping.config.jaxtyping_disable
    torch.manual_seed(0)
    if request.node.get_closest_marker("wrong_types"):
        jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", unchecked)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.set_rng_state(random_state)


@pytest.fixture
def float64():
    """Default dtype float64 for a test of an exact answer; `_global_state` puts it back."""
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="session")
def repeatable_blas():
    """What a test that compares bits of what a BLAS computes assumes of it: such a test fails by name where it does not hold."""
    found = "; ".join(repeatable.unrepeatable())
    assert not found, f"tests/repeatable.py: expected that the same call gives the same bits, got others for {found}"


@pytest.fixture(scope="session")
def omniglot_root() -> Path:
    """The real Omniglot characters beside the repository."""
    return needs.needs("Omniglot")
