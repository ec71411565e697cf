"""What studies share: a JSON of results that is replaced whole, intervals over seeds, and the command's options."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student_t

from benchmarks.hardware import hardware

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


def run_seeds(
    options: argparse.Namespace, path: Path, steps: int, entry: Callable[[int], Result], page: Callable[[], str]
) -> None:
    """The entry of each seed, into the JSON, where it has none of as many steps; then the page. With --table the page alone."""
    torch.set_num_threads(1)
    for seed in range(0 if options.table else options.seeds):
        found = read(path)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("steps") == max(int(steps * options.budget), 1) and not options.force:
            continue
        own[str(seed)] = entry(seed)
        write(path, found | {"hardware": hardware(), "torch": torch.__version__})
    print(page())


def command(doc: str | None, seeds: int | None = 5) -> argparse.ArgumentParser:
    """--seeds, --budget, --force and --table."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if seeds is not None:
        made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--budget", type=float, default=1.0, help="scales the steps, or the time, of each entry")
    made.add_argument("--force", action="store_true", help="run what has a result already")
    made.add_argument("--table", action="store_true", help="print the page and stop")
    return made
