"""The constraints of `make test-oldest`: the oldest version that pyproject.toml allows of each package, and else constraints.txt.

As a program it prints them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Packages without a pin there, with the reason: pip finds a version that the oldest ones can do with.
FREE = {"setuptools": "an older torch wants an older one"}


def floors() -> dict[str, str]:
    """The packages that pyproject.toml names with a floor, and the floor."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [re.match(r"([\w.-]+)(?:\[.*\])?>=([\w.]+)", requirement) for one in named for requirement in one]
    return {match[1]: match[2] for match in found if match}


def oldest() -> str:
    """The lines of constraints.txt, with the floors in the place of their pins."""
    lowest, lines = floors(), []
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name = line.partition("==")[0]
        if name not in FREE:
            lines.append(f"{name}=={lowest[name]}" if name in lowest else line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(oldest(), end="")
