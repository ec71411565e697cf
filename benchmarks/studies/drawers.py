"""Omniglot with its drawers as domains: support from some, queries from others, tested on characters and drawers never seen.

    python -m benchmarks.studies.drawers                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.drawers --seeds 2 --force
    python -m benchmarks.studies.drawers --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.drawers --table             the table from the JSON

Meta-training sees 25 alphabets by the first 12 drawers, meta-validation five others by the next 4, the test the 20 evaluation
alphabets by the last 4. All classes of an episode are of one alphabet, in which a number is one person. Prototypical, Conv4 of 32
channels, STEPS meta-steps of TASKS tasks (10-way, 1 shot, 3 queries), Adam at 1e-3.

ordinary    support and queries of any drawers, as few-shot learning has it: a query may be by a drawer of the support, never of
            its own class's example, since each person drew a character once
across      the support of an episode from half of the drawers and its queries from the others, as `tasks.across` has it by
            default; no setting was chosen

Both keep the weights that are best on the same meta-validation tasks: across, the support by one drawer. The tests, 5-way 1-shot,
EPISODES episodes a seed, the same for both: the support by one person and the queries by the three others (Lake et al.'s
question), and ordinary episodes. Differences are paired by episode; intervals over three seeds are Student's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.cross_domain import CHANNELS, DATA, omniglot
from benchmarks.studies.study import Result, cell, command, read, write
from quickstudy.tasks import LabelledTasks, TaskFamily, across
from quickstudy.tasks.construction.across import of_domains

RESULTS = Path(__file__).resolve().parent / "drawers.json"
STEPS, TASKS, EVERY, VALIDATION = 1500, 2, 250, 60
BY = "drawer"
DRAWERS = {"train": range(1, 13), "validation": range(13, 17), "test": range(17, 21)}
METHODS = ("ordinary", "across")
TESTS = {"new": "support by one, queries by others", "ordinary": "ordinary episodes"}


def parts() -> dict[str, LabelledTasks]:
    """The alphabets of each part by its drawers: 10-way to train, 5-way to score."""
    family = omniglot(DATA, ways=5, shots=1, queries=3, within="alphabet")
    found = {
        name: of_domains(family.parts[name], BY, [f"{drawer:02d}" for drawer in drawers]) for name, drawers in DRAWERS.items()
    }
    return found | {"train": found["train"].with_(ways=10)}


def trained(data: dict[str, LabelledTasks], method: str, seed: int, steps: int) -> qs.Learner:
    """A learner of ordinary episodes, or of episodes across."""
    train = data["train"] if method == "ordinary" else across(data["train"], BY)
    torch.manual_seed(seed)
    learner = qs.Prototypical(qs.models.Conv4(channels=CHANNELS))
    options: dict[str, Any] = {"validate_every": EVERY, "validation_episodes": VALIDATION, "executor": "loop", "progress": False}
    family = TaskFamily(train, across(data["validation"], BY, support=1), None)
    qs.meta_train(learner, family, steps=steps, tasks_per_step=TASKS, seed=seed, **options)
    return learner


def entry(seed: int, steps: int, data: dict[str, LabelledTasks]) -> Result:
    """Both learners of a seed, on both tests."""
    began, busy = time.perf_counter(), time.process_time()
    learners = {method: trained(data, method, seed, steps) for method in METHODS}
    row: Result = {"steps": steps}
    for name, tasks in (("new", across(data["test"], BY, support=1)), ("ordinary", data["test"])):
        each = heads.scored(learners, tasks, seed)
        row[name] = {method: heads.summed(values) for method, values in each.items()}
        row[name]["gain"] = heads.summed([a - b for a, b in zip(each["across"], each["ordinary"], strict=True)])
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    print(seed, {name: row[name] for name in TESTS}, round(row["cpu"]), flush=True)
    return row


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    own = list(found.get("entries", {}).values())
    if not own:
        return "Not run.\n"
    rows = ["| trained on | " + " | ".join(TESTS.values()) + " |", "|---|---|---|"]
    for method in METHODS:
        cells = [cell(heads.over_seeds([row[test][method] for row in own]), ".1f") for test in TESTS]
        rows.append(f"| {method} episodes | " + " | ".join(cells) + " |")
    gains = [cell(heads.over_seeds([row[test]["gain"] for row in own]), ".2f", "+") for test in TESTS]
    rows.append("| across less ordinary, paired | " + " | ".join(gains) + " |")
    each = "; ".join(f"{row['new']['gain']['mean']:+.2f} +- {row['new']['gain']['ci95']:.2f}" for row in own)
    rows += [
        "",
        f"5-way 1-shot accuracy, %, mean and 95 % interval over {len(own)} seeds. By seed, with intervals over tasks,"
        f" `across` brings {each} on new drawers."
        f" {sum(row['seconds'] for row in own):.0f} s, {sum(row['cpu'] for row in own):.0f} s of one core; {found['hardware']},"
        f" torch {found['torch']}.",
    ]
    return "\n".join(rows) + "\n"


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    options = command(__doc__, seeds=3).parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(page())
        return
    steps, data = max(int(STEPS * options.budget), 1), parts()
    for seed in range(options.seeds):
        found = read(RESULTS)
        own = found.setdefault("entries", {})
        if own.get(str(seed), {}).get("steps") == steps and not options.force:
            continue
        own[str(seed)] = entry(seed, steps, data)
        write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__})
    print(page())


if __name__ == "__main__":
    main()
