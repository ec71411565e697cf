"""make reproduce: published results again, one entry a process, resumable, into a committed JSON.

python -m benchmarks.reproduction.reproduce                     every entry that the JSON beside this does not hold yet
python -m benchmarks.reproduction.reproduce ENTRY [--force]     one entry (again)
python -m benchmarks.reproduction.reproduce --budget 0.1        a tenth of the time for each
python -m benchmarks.reproduction.reproduce --table             docs/results.md and docs/studies.md from the JSON

A study (benchmarks/studies/studies.py) is an entry too: python -m benchmarks.reproduction.reproduce architecture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.hardware import hardware as hardware
from benchmarks.reproduction.results_page import ENTRIES, RESULTS, page, read
from benchmarks.studies.studies import PAGE, STUDIES, is_done, pages

HERE, ROOT = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "results.md"


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("entry", nargs="?", choices=[*sorted(ENTRIES), *STUDIES], help="one entry; without it all that are missing")
    made.add_argument("--budget", type=float, default=1.0, help="scales the seconds of meta-training")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--force", action="store_true", help="run an entry that has a result already")
    made.add_argument("--table", action="store_true", help="write the pages of the docs from the JSON and stop")
    options = made.parse_args()
    if options.table:
        write_pages()
        print(f"wrote {TABLE} and {PAGE}")
        return 0
    if options.entry is None:
        return run_missing(options)
    if options.entry in STUDIES:
        return run_study(options.entry)
    if options.entry in read() and not options.force:
        print(f"{options.entry}: has a result; --force runs it again")
        return 0
    run_one(options.entry, options.budget, options.seed)
    return 0


def run_missing(options: argparse.Namespace) -> int:
    """Each missing entry in a process of its own; the number of those that failed."""
    failed = 0
    for name in ENTRIES:
        if name in read() and not options.force:
            continue
        command = [
            sys.executable,
            "-m",
            "benchmarks.reproduction.reproduce",
            name,
            "--budget",
            str(options.budget),
            "--seed",
            str(options.seed),
        ]
        failed += subprocess.run(command + ["--force"] * options.force, cwd=ROOT, check=False).returncode != 0
    failed += sum(run_study(name) != 0 for name in STUDIES if not is_done(name))
    write_pages()
    return min(failed, 1)


def run_study(name: str) -> int:
    """What a study's JSON lacks, in a process of its own; its exit status."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.studies.{name}"], cwd=ROOT, check=False).returncode


def write_pages() -> None:
    """docs/results.md and docs/studies.md."""
    TABLE.write_text(page(read()), encoding="utf-8")
    PAGE.write_text(pages(), encoding="utf-8")


def run_one(name: str, budget: float, seed: int) -> None:
    """Run an entry and write its record beside the others."""
    entry, began = ENTRIES[name], time.time()
    torch.manual_seed(seed)  # initial weights
    result = entry.run(entry.seconds * budget, seed)
    record = {
        **result,
        "seed": seed,
        "budget": budget,
        "wall_seconds": time.time() - began,
        "paper": entry.paper,
        "target": entry.target,
        "reached": None if entry.target is None else result["mean"] >= entry.target,
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "date": datetime.now(UTC).date().isoformat(),
    }
    results = read() | {name: record}
    RESULTS.write_text(json.dumps({key: results[key] for key in ENTRIES if key in results}, indent=1) + "\n", encoding="utf-8")
    score = f"{record['mean']:.4g} +- {record['ci95']:.2g} {record['unit']}"
    print(f"{name}: {score} ({record['steps']} steps, {record['wall_seconds']:.0f} s)")


if __name__ == "__main__":
    sys.exit(main())
