"""What holds for every test: warnings are errors, shapes and types are checked, numbers repeat, nothing leaks to the next test."""

import os
import sys
import types
from pathlib import Path

import jaxtyping
import pytest
from beartype import BeartypeConf, beartype

# Shapes and types of the package are checked at run time under the tests only, so this stands before any import of it.
# QUICKSTUDY_RUNTIME_TYPES=0 turns it off (to time something, or to see whether the checker is at fault). The hook names its
# checker by a path, hence the module made here: beartype that takes an int where a float is annotated, as mypy does.
if os.environ.get("QUICKSTUDY_RUNTIME_TYPES", "1") != "0":
    runtime_types = types.ModuleType("quickstudy_runtime_types")
    runtime_types.checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
    sys.modules[runtime_types.__name__] = runtime_types
    jaxtyping.install_import_hook("quickstudy", f"{runtime_types.__name__}.checked")

import hypothesis
import torch

ROOT = Path(__file__).resolve().parents[1]
OMNIGLOT = ROOT.parent / "shared" / "data" / "omniglot"

THREADS = 2

# Each warning that may pass, with the reason. Every other warning fails the test that raised it.
ALLOWED_WARNINGS: list[tuple[str, str]] = []

hypothesis.settings.register_profile("quickstudy", derandomize=True, deadline=None, max_examples=25, database=None)
hypothesis.settings.load_profile("quickstudy")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error")
    for line, _ in ALLOWED_WARNINGS:
        config.addinivalue_line("filterwarnings", line)
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def _global_state():
    """Each test starts from the same random state, and torch's global settings are as they were when it ends."""
    dtype, threads, deterministic = torch.get_default_dtype(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    random_state = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    torch.set_rng_state(random_state)


@pytest.fixture
def float64():
    """Default dtype float64 for a test of an exact answer; `_global_state` puts it back."""
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="session")
def omniglot_root() -> Path:
    """The real Omniglot characters beside the repository; a test that asks for them is skipped where they are not."""
    if not OMNIGLOT.is_dir():
        pytest.skip("no Omniglot at ../shared/data/omniglot beside the repository")
    return OMNIGLOT
