"""What `make gpu` needs beside torch, NumPy and JAX, carried as wheels to a machine without a network.

python -m benchmarks.gpu.wheels download    here: into .wheels, which git ignores (`make gpu-wheels`)
python -m benchmarks.gpu.wheels install     there: what that Python lacks, from .wheels into .wheels/site (`make gpu` does it)
"""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("safetensors", "filelock", "PyYAML")  # what `import quickstudy` asks for; torch brings typing_extensions
TESTS = ("pytest", "pluggy", "iniconfig", "packaging", "Pygments")  # the learners are those of tests/checks, which import pytest
PEERS = ("higher",)
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq")


def download(folder: Path, python: str) -> None:
    """The wheels, in the versions of constraints.txt, for the other machine's Python."""
    command = [*PIP, "download", "--no-deps", "--only-binary=:all:", "--constraint", str(ROOT / "constraints.txt")]
    command += ["--python-version", python, "--implementation", "cp", "--dest", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *NEEDED, *TESTS, *PEERS], check=True)
    print(f"{len(list(folder.glob('*.whl')))} wheels are in {folder}")


def install(folder: Path) -> None:
    """Those of the wheels whose package this Python has not, into folder/site: what it has stays as it is."""
    lacking = [path for path in sorted(folder.glob("*.whl")) if not has(path.name.split("-")[0])]
    if lacking:
        site = str(folder / "site")
        subprocess.run([*PIP, "install", "--no-index", "--no-deps", "--target", site, *map(str, lacking)], check=True)
        print("installed from wheels: " + ", ".join(path.name.split("-")[0] for path in lacking))


def has(package: str) -> bool:
    """Whether it is installed."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("verb", choices=("download", "install"))
    made.add_argument("--folder", type=Path, default=ROOT / ".wheels")
    made.add_argument("--python", default="3.12", help="the other machine's version of Python")
    given = made.parse_args()
    if given.verb == "download":
        download(given.folder, given.python)
    else:
        install(given.folder)


if __name__ == "__main__":
    main()
