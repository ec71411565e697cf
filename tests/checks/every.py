"""Every learner there is: the cases of all areas. A file learners_<area>.py that has CASES is found by itself."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.checks.learners import Case

AREAS = ["learners", *sorted(path.stem for path in Path(__file__).parent.glob("learners_*.py"))]
CASES: dict[str, Case] = {
    f"{area}: {name}": case for area in AREAS for name, case in importlib.import_module(f"tests.checks.{area}").CASES.items()
}


def each(names: Iterable[str]) -> list[Any]:
    """The names as parameters of a test; variants of a learner (its policies, targets, dropout) run in `make test-all` alone."""
    return [pytest.param(name, marks=pytest.mark.thorough) if "," in name else name for name in names]
