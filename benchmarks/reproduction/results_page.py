"""docs/results.md: every entry with its number, how it was made, and what stands below the control and why."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.reproduction import omniglot, waves
from benchmarks.reproduction.entry import Entry, Result
from benchmarks.reproduction.few_shot_method import FIRST, PROTOCOLS
from benchmarks.reproduction.omniglot import CONTROLS, METHODS

RESULTS = Path(__file__).resolve().parent / "reproduce.json"
ENTRIES: dict[str, Entry] = omniglot.ENTRIES | waves.ENTRIES


def read() -> dict[str, Result]:
    """The results so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


def page(results: dict[str, Result]) -> str:
    """The results as a page of the docs."""
    parts = (_scores(results), _below(results), _protocols(results), _curves(results), waves.page().strip().splitlines())
    return "\n".join([*INTRODUCTION, *(line for part in parts for line in (*part, ""))])


INTRODUCTION = [
    "# Results",
    "",
    "Made by `python -m benchmarks.reproduction.reproduce --table` from `benchmarks/reproduction/reproduce.json`; do not edit.",
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
    rows = ["| learner | " + " | ".join(PROTOCOLS) + " |", "|---|---|---|---|---|"]
    for name, method in (METHODS | CONTROLS).items():
        cells, first = [], results.get(f"omniglot_{FIRST}_{name}", {})
        for protocol in PROTOCOLS:
            entry = f"omniglot_{protocol}_{name}"
            own, starred = results.get(entry), _starred(entry, results)
            ours = _score(own) if own else _score(starred) + "*" if starred else "not run"
            paper = method.papers.get(protocol)
            cells.append(ours + (f" (paper {paper})" if paper else ""))
        rows.append(f"| {method.title}{_policy(first)} | " + " | ".join(cells) + " |")
    return rows


def _below(results: dict[str, Result]) -> list[str]:
    """Who stands below the control, and why."""
    rows = []
    for protocol, (ways, _) in PROTOCOLS.items():
        control = _under(protocol, "pretrain", results)
        if control is None:
            continue
        rows += ["", f"Below pre-training and fine-tuning ({_score(control)}) stand under {protocol}, in the time they had:", ""]
        for name, method in METHODS.items():
            r = _under(protocol, name, results)
            if r is not None and r["mean"] < control["mean"]:
                steps = r.get("steps", results[f"omniglot_{FIRST}_{name}"]["steps"])
                why = method.why or f"its time held {steps} meta-steps of {ways} classes, a small part of any paper's"
                rows.append(f"* {method.title}, {_score(r)} after {steps} meta-steps: {why}.")
    return rows[1:]


def _under(protocol: str, name: str, results: dict[str, Result]) -> Result | None:
    """A method's score under a protocol: trained for it, or as it was trained for the first."""
    return results.get(f"omniglot_{protocol}_{name}") or _starred(f"omniglot_{protocol}_{name}", results)


def _protocols(results: dict[str, Result]) -> list[str]:
    """How each entry was made."""
    rows = [
        "| entry | ours | must | normalisation | meta-training | budget, s in all | seed, hardware |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in ENTRIES.items():
        r, starred = results.get(name), _starred(name, results)
        if r is None:
            rows.append(f"| `{name}` | {_score(starred) + '*' if starred else 'not run'} | {_must(entry, starred)} | | | | |")
            continue
        policy = r["normalisation"] + (" (transductive)" if r["transductive"] else "")
        training = f"{r['steps']} steps in {r['training_seconds']:.0f} s, {r['executor']}"
        spent = f"{r['budget']:g}, {r['wall_seconds']:.0f}"
        made = f"{r['seed']}, {r['hardware']}{_threads(r)}"
        rows.append(f"| `{name}` | {_score(r)} | {_must(entry, r)} | {policy} | {training} | {spent} | {made} |")
    return rows


def _starred(name: str, results: dict[str, Result]) -> Result | None:
    """The score under an entry's protocol of the learner that was trained for 5-way 1-shot."""
    family, _, rest = name.partition("_")
    protocol, _, method = rest.partition("_")
    return results.get(f"{family}_{FIRST}_{method}", {}).get("others", {}).get(protocol)


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
