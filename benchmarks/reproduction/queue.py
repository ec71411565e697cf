"""The runs behind docs/results.md, one after another, for hours or days beside other work: one core, niced, resumable.

python -m benchmarks.reproduction.queue                 the next runs that history.jsonl lacks, until it is stopped
python -m benchmarks.reproduction.queue --for 3600      begins none after an hour
python -m benchmarks.reproduction.queue --list          what is done and what is to come

The plan is plan.py's. After each run docs/results.md is written anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import torch

from benchmarks.hardware import hardware
from benchmarks.reproduction import history, results_page
from benchmarks.reproduction.plan import ENTRIES, PLAN, Job, plan


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--for", dest="limit", type=float, default=float("inf"), help="seconds after which no run is begun")
    made.add_argument("--list", action="store_true", help="print the plan and stop")
    made.add_argument("--job", nargs=3, metavar=("ENTRY", "SEED", "SECONDS"), help="one run, in this process")
    options = made.parse_args()
    if options.job:
        run(Job(options.job[0], int(options.job[1]), float(options.job[2])))
        return 0
    began, done = time.monotonic(), finished()
    for job in plan():
        if options.list:
            print(f"{'done' if job in done else 'to come':<8} {job.entry} seed {job.seed}, {job.seconds:g} s")
        elif job not in done and time.monotonic() - began < options.limit:
            work(job)
    return 0


def finished() -> set[Job]:
    """The jobs of this plan that the history holds, those that failed too."""
    return {Job(one["entry"], one["seed"], one["seconds"]) for one in history.records() if one["plan"] == PLAN}


def work(job: Job) -> None:
    """A job in a process of its own, on one core, behind everybody else. One that fails is written down as that."""
    command = ["nice", "-n", "19", sys.executable, "-m", "benchmarks.reproduction.queue", "--job", *map(str, job)]
    one_core = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one_core, capture_output=True, text=True, check=False)
    print(done.stdout.strip() or f"{job.entry}: failed", flush=True)
    if done.returncode != 0:
        history.append({"plan": PLAN, **job._asdict(), "failed": done.stderr[-2000:], **circumstances()})
    results_page.write()


def run(job: Job, plan: int = PLAN) -> None:
    """Run a job and append its record."""
    torch.set_num_threads(1)
    began, worked = time.time(), time.process_time()
    result = ENTRIES[job.entry].run(job.seconds, job.seed)
    spent = {"wall_seconds": time.time() - began, "core_seconds": time.process_time() - worked}
    history.append({"plan": plan, **job._asdict(), **result, **spent, **circumstances()})
    print(f"{job.entry}, seed {job.seed}: {result['mean']:.2f} +- {result['ci95']:.2f} ({result['steps']} steps)")


def circumstances() -> dict[str, str]:
    """Where and when, and of which commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"hardware": hardware(), "torch": torch.__version__, "commit": commit, "date": now}


if __name__ == "__main__":
    sys.exit(main())
