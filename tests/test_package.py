"""The package from outside: its public names are listed and documented, and importing it does nothing but import."""

import inspect
import json
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import quickstudy as qs

ROOT = Path(__file__).resolve().parents[1]

LAZY = [
    "matplotlib",
    "jsonargparse",
    "rich",
    "PIL",
    "higher",
    "torchopt",
    "jax",
    "sklearn",
    "beartype",
    "hypothesis",
    "pytest",
    "yaml",
]

IMPORT = """
import json, logging, random, sys, threading, warnings
import numpy, torch
def state():
    return {
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "torch random state": torch.get_rng_state().tolist(),
        "numpy random state": repr(numpy.random.get_state()),
        "python random state": repr(random.getstate()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "gradient mode": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "print options": repr(torch._tensor_str.PRINT_OPTS),
        "log handlers": repr(logging.getLogger().handlers) + str(logging.getLogger().level),
        "warning filters": repr(warnings.filters),
        "running threads": sorted(thread.name for thread in threading.enumerate()),
        "recursion limit": sys.getrecursionlimit(),
    }
already, before = set(sys.modules), state()
import quickstudy
after = state()
print(json.dumps({
    "changed": [name for name in before if before[name] != after[name]],
    "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - already}),
    "dynamo": "torch._dynamo" in set(sys.modules) - already,
}))
"""


def public_names() -> list[str]:
    """Everything that `import quickstudy as qs` offers without an underscore, modules that only came along apart."""
    return [name for name, value in vars(qs).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)]


def test_all_is_sorted_unique_and_complete():
    listed = list(qs.__all__)
    assert listed == sorted(set(listed))
    missing = set(public_names()) - set(listed)
    assert not missing, f"public, but not in quickstudy.__all__: {sorted(missing)}"


@pytest.mark.parametrize("name", [name for name in getattr(qs, "__all__", ()) if not name.startswith("__")])
def test_every_public_name_is_documented(name):
    value = getattr(qs, name)
    if inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, types.ModuleType):
        assert (value.__doc__ or "").strip(), f"qs.{name} has no docstring"
        if inspect.isclass(value):
            inherited = [base.__doc__ for base in value.__mro__[1:]]
            assert value.__doc__ not in inherited, f"qs.{name} has only the docstring of its base class"


def test_importing_has_no_side_effects(tmp_path):
    done = subprocess.run([sys.executable, "-c", IMPORT], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["changed"] == []
    assert not set(found["imported"]) & set(LAZY), "these must be imported where they are first needed"
    assert not found["dynamo"], "torch._dynamo takes a second to import and belongs where something is compiled"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("make")
def test_make_clean_in_a_checkout_of_what_there_is(tmp_path):
    """Folders that `clean` looks through are those of the repository: `find` breaks on one that is not there."""
    for entry in filter(Path.is_dir, ROOT.iterdir()):
        (tmp_path / entry.name).mkdir()
    (tmp_path / "src" / "__pycache__").mkdir()
    done = subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "src" / "__pycache__").exists()
    assert (tmp_path / "tests").is_dir()


def test_the_project_names_files_that_there_are():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [
        *settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"],
        *settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
        *settings["tool"]["ruff"]["lint"]["per-file-ignores"],
        *settings["tool"]["mypy"]["files"],
    ]
    assert [name for name in named if not list(ROOT.glob(name))] == []
