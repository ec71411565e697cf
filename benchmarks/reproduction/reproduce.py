"""make reproduce: a published result again by hand, appended to history.jsonl; the pages of the docs; the studies.

python -m benchmarks.reproduction.reproduce ENTRY [--budget 0.1]     one entry, outside of the plan: no page shows it
python -m benchmarks.reproduction.reproduce STUDY                    one study (benchmarks/studies/studies.py)
python -m benchmarks.reproduction.reproduce                          the studies that have no result, then the queue
python -m benchmarks.reproduction.reproduce --table                  docs/results.md and docs/studies.md

What the results page shows are the runs of the plan: python -m benchmarks.reproduction.queue.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.hardware import hardware as hardware
from benchmarks.reproduction import results_page
from benchmarks.reproduction.plan import ENTRIES, Job
from benchmarks.reproduction.queue import run
from benchmarks.studies import studies
from benchmarks.studies.studies import STUDIES, is_done

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = 0  # in the place of the plan's number


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("entry", nargs="?", choices=[*sorted(ENTRIES), *STUDIES], help="one entry or study")
    made.add_argument("--budget", type=float, default=1.0, help="scales the seconds of meta-training")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--table", action="store_true", help="write the pages of the docs and stop")
    given = made.parse_args()
    if given.table:
        write_pages()
        return 0
    if given.entry in STUDIES:
        return run_study(given.entry)
    if given.entry is not None:
        run(Job(given.entry, given.seed, ENTRIES[given.entry].seconds * given.budget), BY_HAND)
        return 0
    failed = sum(run_study(name) != 0 for name in STUDIES if not is_done(name))
    failed += subprocess.run([sys.executable, "-m", "benchmarks.reproduction.queue"], cwd=ROOT, check=False).returncode != 0
    write_pages()
    return min(failed, 1)


def run_study(name: str) -> int:
    """What a study's JSON lacks, in a process of its own; its exit status."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.studies.{name}"], cwd=ROOT, check=False).returncode


def write_pages() -> None:
    """docs/results.md and docs/studies.md."""
    results_page.write()
    studies.PAGE.write_text(studies.pages(), encoding="utf-8")
    print(f"wrote {results_page.PAGE.relative_to(ROOT)} and {studies.PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
