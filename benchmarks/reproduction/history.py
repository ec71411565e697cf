"""history.jsonl: every run of an entry of the results, in the order in which they ended. A line is never changed or taken away.

{"entry": "omniglot_5w1s_maml", "seed": 0, "seconds": 600.0, "plan": 1, "mean": 97.1, "ci95": 0.3, "validation": ...}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).resolve().parent / "history.jsonl"
Record = dict[str, Any]


def records(path: Path = HISTORY) -> list[Record]:
    """Every run so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def append(record: Record, path: Path = HISTORY) -> None:
    """Write a run at the end."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def of_entry(entry: str, plan: int, every: list[Record]) -> list[Record]:
    """The runs that stand for an entry under a plan: those of its largest budget, the first of each seed."""
    own = [one for one in every if one["entry"] == entry and one["plan"] == plan and "mean" in one]
    largest = max((one["seconds"] for one in own), default=0.0)
    by_seed: dict[int, Record] = {}
    for one in own:
        if one["seconds"] == largest:
            by_seed.setdefault(one["seed"], one)
    return [by_seed[seed] for seed in sorted(by_seed)]
