"""docs/results.md: what the runs of the plan found, beside the papers; what was not run yet says so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from benchmarks.reproduction import history, omniglot, waves
from benchmarks.reproduction.few_shot_method import FIRST, HARD, Method
from benchmarks.reproduction.history import Record
from benchmarks.reproduction.omniglot import CONTROLS, METHODS
from benchmarks.reproduction.plan import ENTRIES, PLAN, Job, plan

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
BAR = "pretrain"
REACHED = {"maml_transductive": (95.0, 96.9), "maml_support": (95.0, 96.9), "prototypical": (97.5,)}  # % on meta-validation tasks
NOT_YET = "not run yet"

INTRODUCTION = """# Results

Made by `python -m benchmarks.reproduction.reproduce --table` from `benchmarks/reproduction/history.jsonl`; do not edit.

How these numbers come about:

* **A plan, then the runs.** `benchmarks/reproduction/plan.py` fixes which entries run, in which order, with which seeds and
  how many seconds of one core, before the first score is seen. It runs beside other work for days; what it has not reached
  yet says so. First come one seed and 600 seconds for every learner at 5-way 1-shot, then three seeds and 1,800 seconds for
  the rows with a target and for the bar, then the other protocols.
* **Nothing is chosen by a test score.** Settings are the papers', or were chosen on meta-validation tasks;
  `benchmarks/reproduction/settings.md` says what was tried. Of each run, the checkpoint with the best score on
  meta-validation tasks is scored on meta-test tasks, once. Every run stays in the history file, also those by hand, which
  this page does not show.
* **What two cores cannot do.** The papers train for 30,000 to 100,000 meta-steps, mostly for days on a GPU. A row here has
  minutes of one core: it shows what a method gives in that time, and the meta-steps beside it say how far that is from the
  paper.
* **The older rows are withdrawn.** Rows with a target were run again, with other settings, until they passed on test scores.
  None of them stands on this page.

Omniglot, accuracy in per cent. First the 95 % interval over tasks: 600 meta-test tasks of 15 queries, 200 of 5 under the
other protocols, 400 of 5 within an alphabet. Then the interval over seeds by Student's t, which counts the luck of initial
weights and of episodes drawn. Transductive: batch norm reads the query's own statistics, as the papers' code does.
"""


@dataclass(frozen=True)
class Row:
    """What the runs of an entry found together."""

    records: list[Record]

    @property
    def mean(self) -> float:
        return float(np.mean([one["mean"] for one in self.records]))

    @property
    def over_tasks(self) -> float:
        """The interval of the runs' common mean over tasks: that of one run, over the root of their number."""
        return math.sqrt(sum(one["ci95"] ** 2 for one in self.records)) / len(self.records)

    @property
    def over_seeds(self) -> float | None:
        """The interval over seeds by Student's t; None of fewer than two runs."""
        means = [one["mean"] for one in self.records]
        if len(means) < 2:
            return None
        return float(stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / math.sqrt(len(means)))

    def score(self) -> str:
        seeds = "" if self.over_seeds is None else f", +- {self.over_seeds:.2g} over {len(self.records)} seeds"
        return f"{self.mean:.4g} +- {self.over_tasks:.2g}{seeds}"

    def last_third(self) -> float | None:
        """How much the score on meta-validation tasks rose in the last third of the steps; the mean over runs."""
        risen = [rise(one["validation"]) for one in self.records]
        return None if any(one is None for one in risen) else float(np.mean([one for one in risen if one is not None]))


def rise(validation: list[list[float]]) -> float | None:
    """From the validation nearest to two thirds of the steps to the last."""
    if len(validation) < 3:
        return None
    last = validation[-1]
    before = min(validation[:-1], key=lambda one: abs(one[0] - 2 * last[0] / 3))
    return last[1] - before[1]


def write() -> None:
    """The page of the docs from the history as it is."""
    PAGE.write_text(page(history.records()), encoding="utf-8")


def page(records: list[Record]) -> str:
    """The results as a page of the docs."""
    own = planned(records)
    rows = {name: Row(found) for name in ENTRIES if (found := history.of_entry(name, PLAN, own))}
    parts = (first(rows), below(rows), seconds_to(rows), hard(rows), others(rows), *waves.tables(rows), progress(records))
    return "\n".join([INTRODUCTION, *(line for part in parts for line in (*part, ""))]).rstrip() + "\n"


def planned(records: list[Record]) -> list[Record]:
    """Those that are runs of the plan."""
    jobs = set(plan())
    return [one for one in records if one["plan"] == PLAN and Job(one["entry"], one["seed"], one["seconds"]) in jobs]


def first(rows: dict[str, Row]) -> list[str]:
    """5-way 1-shot of every learner."""
    return [
        "## 5-way 1-shot",
        "",
        *table(
            ("learner", "accuracy", "target", "paper", "meta-steps", "seconds of a core", "validation, last third"),
            (cells(name, method, FIRST, rows) for name, method in (METHODS | CONTROLS).items()),
        ),
    ]


def cells(name: str, method: Method, protocol: str, rows: dict[str, Row]) -> tuple[str, ...]:
    """A method's row under a protocol that it was trained for."""
    row, paper = rows.get(f"omniglot_{protocol}_{name}"), method.papers.get(protocol, "")
    target = method.targets.get(protocol)
    if row is None:
        return (method.name, NOT_YET, "" if target is None else f"{target:g}", paper, "", "", "")
    one, risen = row.records[0], row.last_third()
    steps = ", ".join(str(each["steps"]) for each in row.records)
    return (
        method.name,
        row.score(),
        "" if target is None else f"{target:g}: " + ("passed" if row.mean >= target else "missed"),
        paper,
        steps,
        f"{one['seconds']:g}",
        "" if risen is None else f"{risen:+.1f}",
    )


def below(rows: dict[str, Row]) -> list[str]:
    """Who stands below pre-training with the same seconds, and whether it was still rising."""
    bar = rows.get(f"omniglot_{FIRST}_{BAR}")
    if bar is None:
        return [f"Pre-training and fine-tuning, the bar for every row, is {NOT_YET}."]
    lines = []
    for name, method in METHODS.items():
        row = rows.get(f"omniglot_{FIRST}_{name}")
        if row is not None and row.mean < bar.mean:
            risen = row.last_third()
            how = "" if risen is None else f", {risen:+.1f} on meta-validation tasks over the last third of its steps"
            lines.append(f"* {method.name}: {row.score()}{how}")
    found = lines or ["* none of those that were run"]
    return [f"Below pre-training and fine-tuning ({bar.score()}):", "", *found]


def seconds_to(rows: dict[str, Row]) -> list[str]:
    """Seconds of one core to an accuracy on meta-validation tasks, by the first validation that has it."""
    lines = []
    for name, levels in REACHED.items():
        row = rows.get(f"omniglot_{FIRST}_{name}")
        for level in levels:
            taken = NOT_YET if row is None else ", ".join(map(_taken, ((one, level) for one in row.records)))
            lines.append((METHODS[name].name, f"{level:g} %", taken))
    return [
        "Seconds of one core until the score over 100 meta-validation tasks first reaches a level, for each seed:",
        "",
        *table(("learner", "level", "seconds"), lines),
    ]


def _taken(asked: tuple[Record, float]) -> str:
    record, level = asked
    at = next((step for step, score, _ in record["validation"] if score >= level), None)
    return "not reached" if at is None else f"{at * record['seconds_a_step']:.0f}"


def hard(rows: dict[str, Row]) -> list[str]:
    """One drawer's alphabet an episode."""
    entries = {name: (METHODS | CONTROLS)[name] for name in omniglot.WITHIN}
    lines = []
    for name, method in entries.items():
        row = rows.get(f"omniglot_{HARD}_{name}")
        other = "" if row is None else _starred(row, "within5w1s")
        lines.append((*cells(name, method, HARD, rows)[:2], other, *cells(name, method, HARD, rows)[4:6]))
    return [
        "## Within one alphabet",
        "",
        '`Omniglot(split="alphabet", within="alphabet")`: all classes of an episode are characters of one alphabet, of the 20',
        "that nobody was trained on; one of fewer characters than ways is left out. People err in 4.5 % of such 20-way tasks",
        "(Lake et al. 2015). A star marks the learner of the 20-way column.",
        "",
        *table(("learner", "20-way 1-shot", "5-way 1-shot", "meta-steps", "seconds of a core"), lines),
    ]


def _starred(row: Row, protocol: str) -> str:
    """The score under another protocol of the learner that was trained for this one."""
    found = [one["others"][protocol] for one in row.records if protocol in one.get("others", {})]
    return Row(found).score() + "*" if found else ""


def others(rows: dict[str, Row]) -> list[str]:
    """The other protocols over all alphabets."""
    columns, lines = ("5w5s", "20w1s", "20w5s"), []
    for name, method in (METHODS | CONTROLS).items():
        shown = [method.name]
        for protocol in columns:
            own, base = rows.get(f"omniglot_{protocol}_{name}"), rows.get(f"omniglot_{FIRST}_{name}")
            ours = own.score() if own else "" if base is None else _starred(base, protocol)
            paper = method.papers.get(protocol)
            shown.append((ours or NOT_YET) + (f" (paper {paper})" if paper else ""))
        lines.append(tuple(shown))
    return [
        "## More shots, more ways",
        "",
        "A star marks the learner that was meta-trained for 5-way 1-shot; the others were trained for their own protocol.",
        "",
        *table(("learner", *columns), lines),
    ]


def progress(records: list[Record]) -> list[str]:
    """How far the plan is, and where its runs were made."""
    own = planned(records)
    machines = sorted({one["hardware"] for one in own})
    made = f" Made on {'; '.join(machines)}." if machines else ""
    broken = [one for one in own if "failed" in one]
    failed = [f"* `{one['entry']}`, seed {one['seed']}, failed: {one['failed'].splitlines()[-1]}" for one in broken]
    return ["## How far the plan is", "", f"{len(own)} of its {len(plan())} runs are done.{made}", *failed]


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> list[str]:
    """As Markdown."""
    return [f"| {' | '.join(line)} |" for line in (head, ("---",) * len(head), *lines)]
