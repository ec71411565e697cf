"""What a test needs of the machine, beside Python's packages: how it is found, and what installs it.

A test says `@pytest.mark.needs("a browser")`, or calls `needs("a browser")` for the path of what was found. Where it is missing
the test is skipped. In CI (the variable CI is set) it fails and names the install step: `.ci/system` installs the Debian packages
of this table. What CI cannot install has its reason in `may_lack`, and is skipped there too. Any other skip is a failure in CI.

As a program it prints the Debian packages that are missing, one a line; it imports the standard library alone.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Need:
    """One thing.

    Args:
        find: gives it, or None where it is missing.
        package: the Debian package that brings it.
        may_lack: why CI may go without it.
    """

    find: Callable[[], object]
    package: str = ""
    may_lack: str = ""


def command(*names: str) -> Callable[[], str | None]:
    """The path of the first of these programs that is on the PATH."""
    return lambda: next(filter(None, map(shutil.which, names)), None)


def data(name: str) -> Need:
    """A folder of the data that lies beside the repository."""
    folder = DATA / name
    return Need(
        lambda: folder if folder.is_dir() else None,
        may_lack=f"../shared/data/{name} lies beside the repository on the project's own machines; no package has it",
    )


def no_gpu() -> bool | None:
    import torch

    return None if torch.cuda.is_available() else True


def openmp() -> bool | None:
    import torch

    return True if "OpenMP" in torch.__config__.parallel_info() else None


def module(name: str) -> Callable[[], object]:
    """Whether a package of Python is installed."""
    return lambda: importlib.util.find_spec(name)


NEEDS = {
    "a browser": Need(
        command("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"),
        package="chromium-headless-shell",
    ),
    "a C++ compiler": Need(command("c++", "g++", "clang++"), package="g++"),
    "make": Need(command("make"), package="make"),
    "os.fork": Need(lambda: getattr(os, "fork", None), may_lack="it is a part of the system: Windows has none"),
    "OpenMP": Need(openmp, may_lack="a build of torch has it or not"),
    "higher": Need(module("higher"), may_lack="it is in the extra bench, with the peers that the package is compared with"),
    "no GPU": Need(no_gpu, may_lack="a machine with a GPU tests it by `make gpu`"),
    "Omniglot": data("omniglot"),
    "pillow-heif": Need(
        lambda: find_spec("pillow_heif"), may_lack="the extra heic is not among those of the tests: its wheels lack some systems"
    ),
    "MNIST": data("mnist"),
    "FSDD": data("fsdd"),
    "xSID": data("xsid"),
    "the published splits": data("splits"),
    "the Parkinson's recordings": data("parkinsons"),
}


def in_ci() -> bool:
    """Whether this is continuous integration, where nothing is skipped that can be installed."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def needs(name: str) -> object:
    """What was found of the table's `name`; the test that asks is skipped where it is missing, and fails in CI."""
    import pytest

    need = NEEDS[name]
    found = need.find()
    if found is not None:
        return found
    do = f"run .ci/system, which installs the Debian package {need.package}" if need.package else need.may_lack
    sentence = f"{name}: expected on this machine, got none. {do[0].upper()}{do[1:]}"
    if in_ci() and not need.may_lack:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def allowed(skip: BaseException) -> bool:
    """Whether a skip is one that the table allows in CI."""
    return any(need.may_lack and str(skip).startswith(f"{name}: ") for name, need in NEEDS.items())


if __name__ == "__main__":
    print(*(need.package for need in NEEDS.values() if need.package and need.find() is None), sep="\n")
