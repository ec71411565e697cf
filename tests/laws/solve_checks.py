"""What every learner of learners_solve.py is put through in its own test: the laws, and executors."""

from __future__ import annotations

import pytest
import torch
from tests.laws.descend_checks import executors_agree
from tests.laws.learners_solve import CASES, OWN

import quickstudy as qs
from quickstudy import testing


def keeps_the_laws(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every law on the case; the classes are named in quickstudy for the length of the test."""
    for cls in OWN:
        monkeypatch.setattr(qs, cls.__name__, cls, raising=False)
    torch.set_default_dtype(torch.float32)
    testing.run_laws(*CASES[name]())


def agrees_in_every_executor(name: str, tolerance: float = 1e-10) -> None:
    """Threads and vmap give the loop's loss and gradient of the case, in float64."""
    torch.set_default_dtype(torch.float32)
    executors_agree(*CASES[name](), tolerance)
