"""The plan of the runs behind docs/results.md: which entries, in which order, with which seeds and seconds of one core.

It is fixed before its first score is seen. No setting was chosen by a score on meta-test tasks: they are the papers', or were
chosen on meta-validation tasks (settings.md beside this). A change of any of them is a new plan, and the runs of the old one
stand no more.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.reproduction import waves
from benchmarks.reproduction.entry import Entry
from benchmarks.reproduction.few_shot_method import FIRST, HARD
from benchmarks.reproduction.omniglot import CONTROLS, DRAWN, METHODS
from benchmarks.reproduction.omniglot import ENTRIES as OMNIGLOT

ENTRIES: dict[str, Entry] = OMNIGLOT | waves.ENTRIES
PLAN = 1
BRIEF, LONG = 600.0, 1800.0  # seconds of one core


class Job(NamedTuple):
    """One run."""

    entry: str
    seed: int
    seconds: float


def plan() -> list[Job]:
    """5-way 1-shot for all; three seeds and more time where there is a target, and for the bar; then the other protocols."""
    first = [Job(f"omniglot_{FIRST}_{name}", 0, BRIEF) for name in METHODS | CONTROLS]
    barred = [name for name, method in METHODS.items() if FIRST in method.targets] + ["pretrain"]
    sure = [Job(name, seed, LONG) for name in (*(f"omniglot_{FIRST}_{one}" for one in barred), DRAWN) for seed in range(3)]
    hard = [Job(name, 0, BRIEF) for name in ENTRIES if name.startswith(f"omniglot_{HARD}_")]
    hard += [Job(f"omniglot_{HARD}_prototypical", seed, LONG) for seed in range(3)]
    begun = {job.entry for job in (*first, *sure, *hard)}
    return first + sure + hard + [Job(name, 0, BRIEF) for name in ENTRIES if name not in begun]
