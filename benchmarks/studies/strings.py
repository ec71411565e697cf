"""Strings into strings from five pairs: formats and grammars that were held out, beside copying the nearest pair.

    python -m benchmarks.studies.strings                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.strings --seeds 1 --force
    python -m benchmarks.studies.strings --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.strings --table             the page from the JSON

Each seed meta-trains a `Transducer` on formats, STEPS["formats"] steps of TASKS tasks of 5 pairs and 8 strings to answer, Adam
with warm-up and a cosine to 0; the weights that are best on validation formats are tested on EPISODES tasks of test formats. From
these weights another is trained on each grammar, and tested on grammars held out in the same way. No layout of a format, and no
grammar, is in two parts. The controls answer the same test tasks; differences are paired by task.
"""

from __future__ import annotations

import copy
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.study import Result, cell, command, read, write
from quickstudy.domains.text.strings import NearestPair, Unchanged
from quickstudy.domains.text.strings.records import KINDS
from quickstudy.tasks import TaskFamily

RESULTS = Path(__file__).resolve().parent / "strings.json"
SHOTS, QUERIES, EPISODES, TASKS, VALIDATION = 5, 8, 600, 8, 60
STEPS = {"formats": 6000, "inflections": 1500, "phrases": 1500}
RATE = 2e-3
FAMILIES = {"formats": qs.tasks.Formats, "inflections": qs.tasks.Inflections, "phrases": qs.tasks.PhraseTranslations}
TITLES = {"formats": "formats", "inflections": "inflections", "phrases": "phrases translated"}
CONTROLS = {"nearest pair": NearestPair, "unchanged": Unchanged}


def trained(learner: qs.Learner, tasks: TaskFamily, seed: int, steps: int, rate: float) -> Result:
    """Meta-train in place; what its validation says."""
    outer = qs.Gradient(
        qs.Backprop(),
        partial(torch.optim.Adam, lr=rate, betas=(0.9, 0.98)),
        partial(OneCycleLR, max_lr=rate, total_steps=steps + 1, pct_start=min(0.5, 100 / steps), cycle_momentum=False),
    )
    options: dict[str, Any] = {"executor": "vmap", "validation_episodes": VALIDATION, "clip": 1.0, "progress": False}
    run = qs.meta_train(learner, tasks, steps=steps, tasks_per_step=TASKS, outer=outer, seed=seed, **options)
    assert run.best is not None
    scores = [[one["step"], one["score"]] for one in run.history if "score" in one]
    return {"best": run.best, "curve": scores}


def scored(learners: dict[str, qs.Learner], tasks: qs.tasks.TaskDistribution, seed: int, episodes: int) -> dict[str, Any]:
    """Exact match of each learner on the same tasks, in %, by name."""
    options: dict[str, Any] = {"episodes": episodes, "seed": seed, "executor": "vmap", "metrics": ["exact_match"]}
    each = {name: [100 * one for one in qs.evaluate(learner, tasks, **options).per_episode] for name, learner in learners.items()}
    return {**each, **{f"less {name}": [a - b for a, b in zip(each["ours"], each[name], strict=True)] for name in CONTROLS}}


def by_kind(tasks: Any, scores: list[float], seed: int) -> dict[str, float]:
    """The mean of the tasks of each kind of record."""
    from quickstudy.evaluation.evaluate import BATCH

    generator, kinds = torch.Generator().manual_seed(seed), list[int]()
    while len(kinds) < len(scores):
        kinds += tasks.sample_with_truth(min(BATCH, len(scores) - len(kinds)), generator=generator)[1]["kind"].tolist()
    x, number = torch.tensor(scores), torch.tensor(kinds)
    return {kind: float(x[number == place].mean()) for place, kind in enumerate(KINDS) if bool((number == place).any())}


def entry(learner: qs.Learner, name: str, seed: int, budget: float) -> Result:
    """A learner meta-trained in place on one family of tasks, and its test beside the controls."""
    began, busy, steps = time.perf_counter(), time.process_time(), max(int(STEPS[name] * budget), 2)
    tasks = FAMILIES[name](shots=SHOTS, queries=QUERIES)
    row: Result = {"steps": steps, "validation": trained(learner, tasks, seed, steps, RATE if name == "formats" else RATE / 2)}
    row["training"] = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
    learners = {"ours": learner, **{control: make() for control, make in CONTROLS.items()}}
    each = scored(learners, tasks.test, seed, max(int(EPISODES * min(budget, 1)), 20))
    row["test"] = {key: heads.summed(values) for key, values in each.items()}
    if name == "formats":
        row["kinds"] = by_kind(tasks.test, each["ours"], seed)
    row["cpu"] = time.process_time() - busy
    print(seed, name, row["test"], row.get("kinds"), round(row["training"]["cpu"]), round(row["cpu"]), flush=True)
    return row


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    entries = found.get("entries", {})
    rows = {name: [seed[name] for seed in entries.values() if name in seed] for name in FAMILIES}
    if not rows["formats"]:
        return "Not run.\n"
    columns = ("ours", "nearest pair", "unchanged", "less nearest pair")
    lines = ["| held out | seeds | `Transducer` | nearest pair | unchanged | `Transducer` less nearest pair |", "|" + "---|" * 6]
    for name, own in rows.items():
        if own:
            cells = [_cell([row["test"][key] for row in own], "+" if key.startswith("less") else "") for key in columns]
            lines.append(f"| {TITLES[name]} | {len(own)} | " + " | ".join(cells) + " |")
    kinds = {kind: [row["kinds"][kind] for row in rows["formats"] if kind in row["kinds"]] for kind in KINDS}
    each = ", ".join(f"{kind} {sum(values) / len(values):.0f}" for kind, values in kinds.items() if values)
    cpu = "; ".join(f"{TITLES[name]} {_seconds(own):.0f}" for name, own in rows.items() if own)
    lines += [
        "",
        f"Exact match at {SHOTS} pairs, %, {EPISODES} test tasks of {QUERIES} strings a seed. With several seeds the mean and the"
        " 95 % interval over them; with one seed the interval over its tasks, and nothing is said of the spread over seeds."
        f" Formats by kind of record: {each}. Seconds of one core to meta-train: {cpu}; {found['hardware']},"
        f" torch {found['torch']}.",
    ]
    return "\n".join(lines) + "\n"


def _seconds(own: list[Result]) -> float:
    """Of one core, to meta-train."""
    return sum(row["training"]["cpu"] for row in own) / len(own)


def _cell(each: list[dict[str, float]], sign: str) -> str:
    """Over the seeds, or of the one seed over its tasks."""
    return cell(heads.over_seeds(each) if len(each) > 1 else [each[0]["mean"], each[0]["ci95"]], ".1f", sign)


def main() -> None:
    """The command; what the JSON has with as many steps is not run again."""
    made = command(__doc__, seeds=3)
    made.add_argument("--save", help="a folder in which the learners of seed 0 are saved")
    options = made.parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(page())
        return
    for seed in range(options.seeds):
        first: qs.Learner | None = None
        for name in FAMILIES:
            found = read(RESULTS)
            own = found.setdefault("entries", {}).setdefault(str(seed), {})
            if own.get(name, {}).get("steps") == max(int(STEPS[name] * options.budget), 2) and not options.force:
                continue
            if first is None and name != "formats":
                raise SystemExit("The grammars begin with the weights of the formats: run with --force.")
            learner = qs.Transducer(seed=seed) if first is None else copy.deepcopy(first)
            own[name] = entry(learner, name, seed, options.budget)
            first = first or learner
            if options.save and seed == 0:
                learner.save(Path(options.save) / name)
            write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__})
    print(page())


if __name__ == "__main__":
    main()
