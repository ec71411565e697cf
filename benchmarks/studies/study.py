"""What studies share: a JSON of results that is replaced whole, intervals over seeds, and the command's options."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student_t

Result = dict[str, Any]
Interval = list[float | None]  # mean, half of the 95 % interval


def read(path: Path) -> Result:
    """The results so far."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(path: Path, found: Result) -> None:
    """All results, at once: a killed study leaves the old ones."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def interval(values: Sequence[float]) -> Interval:
    """Mean, and half of the 95 % interval by Student's t; None of one value."""
    n, x = len(values), torch.tensor(values, dtype=torch.float64)
    return [float(x.mean()), float(student_t.ppf(0.975, n - 1) * x.std() / n**0.5) if n > 1 else None]


def cell(pair: Sequence[float | None], form: str = ".2f", sign: str = "") -> str:
    """'mean +- half' in a table."""
    mean, half = pair
    return f"{mean:{sign}{form}} +- " + ("?" if half is None else f"{half:{form}}")


def command(doc: str | None, seeds: int | None = 5) -> argparse.ArgumentParser:
    """--seeds, --budget, --force and --table."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if seeds is not None:
        made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--budget", type=float, default=1.0, help="scales the steps, or the time, of each entry")
    made.add_argument("--force", action="store_true", help="run what has a result already")
    made.add_argument("--table", action="store_true", help="print the page and stop")
    return made
