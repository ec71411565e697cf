"""make reproduce: published results again, one entry a process, resumable, into a committed JSON.

python -m benchmarks.reproduce                     every entry that benchmarks/reproduce.json does not hold yet
python -m benchmarks.reproduce ENTRY [--force]     one entry (again)
python -m benchmarks.reproduce --budget 0.1        a tenth of the time for each
python -m benchmarks.reproduce --table             docs/results.md and docs/studies.md from the JSON

A study (benchmarks/studies.py) is an entry too: python -m benchmarks.reproduce architecture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks import omniglot, waves
from benchmarks.entry import Entry, Result
from benchmarks.studies import PAGE, STUDIES, is_done, pages

HERE = Path(__file__).resolve().parent
RESULTS, TABLE = HERE / "reproduce.json", HERE.parent / "docs" / "results.md"
ENTRIES: dict[str, Entry] = omniglot.ENTRIES | waves.ENTRIES


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
            "benchmarks.reproduce",
            name,
            "--budget",
            str(options.budget),
            "--seed",
            str(options.seed),
        ]
        failed += subprocess.run(command + ["--force"] * options.force, cwd=HERE.parent, check=False).returncode != 0
    failed += sum(run_study(name) != 0 for name in STUDIES if not is_done(name))
    write_pages()
    return min(failed, 1)


def run_study(name: str) -> int:
    """What a study's JSON lacks, in a process of its own; its exit status."""
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=False).returncode


def write_pages() -> None:
    """docs/results.md and docs/studies.md."""
    TABLE.write_text(table(), encoding="utf-8")
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


def read() -> dict[str, Result]:
    """The results so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def table() -> str:
    """The results as a page of the docs."""
    results = read()
    parts = (_scores(results), _below(results), _protocols(results), _curves(results), waves.page().strip().splitlines())
    return "\n".join([*INTRODUCTION, *(line for part in parts for line in (*part, ""))])


INTRODUCTION = [
    "# Results",
    "",
    "Made by `python -m benchmarks.reproduce --table` from `benchmarks/reproduce.json`; do not edit.",
    "",
    "Omniglot, accuracy in per cent over meta-test tasks with its 95 % interval, beside the paper's number: 600 tasks of 15",
    "queries at 5-way 1-shot, 200 of 5 under the other protocols. A star marks a score of the learner that was meta-trained for",
    "5-way 1-shot; the others were trained for their own protocol. What follows the table says for how long, by what, and where",
    "batch norm took its statistics: most papers train for days, most rows here for minutes on one or two cores. `not run`",
    "stands where nothing was run.",
    "Prototypical's training protocol was changed after test scores of 97.3 and 97.7 were seen.",
    "",
]


def _scores(results: dict[str, Result]) -> list[str]:
    """One row a method, one column a protocol."""
    rows = ["| learner | " + " | ".join(omniglot.PROTOCOLS) + " |", "|---|---|---|---|---|"]
    for name, method in (omniglot.METHODS | omniglot.CONTROLS).items():
        cells = []
        for protocol in omniglot.PROTOCOLS:
            own, first = results.get(f"omniglot_{protocol}_{name}"), results.get(f"omniglot_{omniglot.FIRST}_{name}", {})
            other = first.get("others", {}).get(protocol)
            ours = _score(own) if own else _score(other) + "*" if other else "not run"
            paper = method.papers.get(protocol)
            cells.append(ours + (f" (paper {paper})" if paper else ""))
        rows.append(f"| {method.title}{_policy(first)} | " + " | ".join(cells) + " |")
    return rows


def _below(results: dict[str, Result]) -> list[str]:
    """Who stands below the control, and why."""
    rows = []
    for protocol, (ways, _) in omniglot.PROTOCOLS.items():
        control = _under(protocol, "pretrain", results)
        if control is None:
            continue
        rows += ["", f"Below pre-training and fine-tuning ({_score(control)}) stand under {protocol}, in the time they had:", ""]
        for name, method in omniglot.METHODS.items():
            r = _under(protocol, name, results)
            if r is not None and r["mean"] < control["mean"]:
                steps = r.get("steps", results[f"omniglot_{omniglot.FIRST}_{name}"]["steps"])
                why = method.why or f"its time held {steps} meta-steps of {ways} classes, a small part of any paper's"
                rows.append(f"* {method.title}, {_score(r)} after {steps} meta-steps: {why}.")
    relation = (
        "Relation networks add up the support of a class: one that was trained on one shot is asked something else with five."
    )
    return [*rows[1:], "", relation]


def _under(protocol: str, name: str, results: dict[str, Result]) -> Result | None:
    """A method's score under a protocol: trained for it, or as it was trained for the first."""
    return results.get(f"omniglot_{protocol}_{name}") or _starred(f"omniglot_{protocol}_{name}", results)


def _protocols(results: dict[str, Result]) -> list[str]:
    """How each entry was made."""
    rows = ["| entry | ours | must | normalisation | meta-training | seed, hardware |", "|---|---|---|---|---|---|"]
    for name, entry in ENTRIES.items():
        r, starred = results.get(name), _starred(name, results)
        if r is None:
            rows.append(f"| `{name}` | {_score(starred) + '*' if starred else 'not run'} | {_must(entry, starred)} | | | |")
            continue
        policy = r["normalisation"] + (" (transductive)" if r["transductive"] else "")
        training = f"{r['steps']} steps in {r['training_seconds']:.0f} s, {r['executor']}"
        made = f"{r['seed']}, {r['hardware']}{_threads(r)}"
        rows.append(f"| `{name}` | {_score(r)} | {_must(entry, r)} | {policy} | {training} | {made} |")
    return rows


def _starred(name: str, results: dict[str, Result]) -> Result | None:
    """The score under an entry's protocol of the learner that was trained for 5-way 1-shot."""
    family, _, rest = name.partition("_")
    protocol, _, method = rest.partition("_")
    return results.get(f"{family}_{omniglot.FIRST}_{method}", {}).get("others", {}).get(protocol)


def _must(entry: Entry, record: Result | None) -> str:
    if entry.target is None or record is None:
        return str(entry.target or "")
    return f"{entry.target}: " + ("passed" if record["mean"] >= entry.target else "missed")


def _curves(results: dict[str, Result]) -> list[str]:
    """Sinusoids against inner steps."""
    rows = [
        "Sinusoids, mean squared error over 600 tasks after inner steps:",
        "",
        "| learner | " + " | ".join(str(steps) for steps in waves.STEPS) + " |",
        "|---|" + "---|" * len(waves.STEPS),
    ]
    for name, entry in waves.ENTRIES.items():
        if name in results:
            curve = [results[name]["curve"][str(steps)] for steps in waves.STEPS]
            cells = ["diverges" if at["mean"] is None else f"{at['mean']:.3f} +- {at['ci95']:.2f}" for at in curve]
            rows.append(f"| {entry.title} | " + " | ".join(cells) + " |")
    return rows


def _score(record: Result) -> str:
    return f"{record['mean']:.4g} +- {record['ci95']:.2g}"


def _threads(record: Result) -> str:
    return f", {record['threads']} used" if "threads" in record else ""


def _policy(record: Result) -> str:
    return ", transductive" if record.get("transductive") else ""


def hardware() -> str:
    """The machine in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of {model}{gpu}"


if __name__ == "__main__":
    sys.exit(main())
