"""Trained on drawn strokes, on Omniglot or on both; tested on MNIST, Fashion and Omniglot's evaluation alphabets.

    python -m benchmarks.studies.cross_domain                     what the JSON beside this does not hold yet
    python -m benchmarks.studies.cross_domain --seeds 2 --force
    python -m benchmarks.studies.cross_domain --budget 0.1        a tenth of the meta-steps
    python -m benchmarks.studies.cross_domain --table             the table from the JSON

Prototypical, Conv4 of 32 channels on 28 x 28, STEPS meta-steps of TASKS tasks (10-way, 1 shot, 5 queries), Adam at 1e-3. The
sources: 400 drawn characters of 20 drawings (`tasks.Strokes`); Omniglot's 25 training alphabets; a `Mixture` of the two, drawn
alike, at the same number of meta-steps. The best weights are kept by the accuracy on each source's own meta-validation tasks
(drawn characters, Omniglot's last five background alphabets, the mean of both).

Tests: 5-way, 15 queries, EPISODES episodes a seed, the same for all: MNIST's 10,000 test images, the 900 of Fashion-MNIST's
sprite, and Omniglot's 20 evaluation alphabets, the classes of an episode from one alphabet. Heads on the frozen features: the
nearest centroid (which is the learner as it was trained), ridge and logistic regression with the library's default penalties; and
fine-tuning of the last block with a head, whose rate and steps were chosen on meta-validation tasks of the first seed, for each
source and number of shots. No test data decided anything.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.make.pretrained_scores import fashion
from benchmarks.studies import transfer_heads as heads
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.domains.images.backbone import from_backbone

RESULTS = Path(__file__).resolve().parent / "cross_domain.json"
DATA = Path(os.environ.get("QUICKSTUDY_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
STEPS, TASKS, CHANNELS = 2000, 2, 32
EVERY, VALIDATION = 250, 60  # steps between validations, and their tasks
SOURCES, TARGETS = ("strokes", "omniglot", "both"), ("MNIST", "Fashion", "Omniglot")
KEYS = [f"{name}, {shots}" for shots in heads.SHOTS for name in TARGETS]
PAIRS = (("both", "strokes"), ("both", "omniglot"), ("omniglot", "strokes"))


# ---- the data -------------------------------------------------------------------------------------------------------------


def omniglot(root: Path, **options: Any) -> qs.tasks.TaskFamily[Any]:
    return qs.tasks.Omniglot(root / "omniglot", split="alphabet", rotations=False, **options)


def families(root: Path, ways: int = 10, queries: int = 5) -> dict[str, Any]:
    """What is trained on, by name."""
    drawn = qs.tasks.Strokes(ways, 1, queries, classes=(400, 100, 100))
    written = omniglot(root, ways=ways, shots=1, queries=queries)
    return {"strokes": drawn, "omniglot": written, "both": qs.tasks.Mixture({"strokes": drawn, "omniglot": written})}


def targets(root: Path) -> dict[str, Any]:
    """What is tested on, by name: 5-way, 15 queries."""
    digits, clothes = qs.tasks.mnist(root / "mnist"), fashion(root / "fashion_mnist_sprite")
    return {
        "MNIST": qs.tasks.LabelledTasks(digits.test_x, digits.test_y, ways=5, queries=15),
        "Fashion": qs.tasks.LabelledTasks(
            clothes.flatten(0, 1)[:, None], torch.arange(10).repeat_interleave(90), ways=5, queries=15
        ),
        "Omniglot": omniglot(root, ways=5, queries=15, within="alphabet").test,
    }


# ---- one training, and what it is worth ------------------------------------------------------------------------------------


def validations(tasks: Any) -> list[Any]:
    """Meta-validation tasks of each family, under the protocol of the test."""
    parts = getattr(tasks.validation, "parts", {"": tasks.validation})
    return [part.with_(ways=5, queries=15) for part in parts.values()]


def entry(source: str, seed: int, steps: int, data: dict[str, Any], tests: dict[str, Any], tunings: Result) -> Result:
    """Train on a source, then score every head on every test."""
    began, busy = time.perf_counter(), time.process_time()
    torch.manual_seed(seed)
    learner = qs.Prototypical(qs.models.Conv4(channels=CHANNELS))
    run = qs.meta_train(
        learner,
        data[source],
        steps=steps,
        tasks_per_step=TASKS,
        validate_every=EVERY,
        validation_episodes=VALIDATION,
        seed=seed,
        executor="loop",
        progress=False,
    )
    row: Result = {"steps": steps, "best": run.best, "training, cpu": time.process_time() - busy}
    network = learner.embed
    assert isinstance(network, qs.models.Conv4)
    early, shape = nn.Sequential(network.blocks[:3], nn.Flatten()), (CHANNELS, 3, 3)
    late = nn.Sequential(nn.Unflatten(1, shape), network.blocks[3], nn.Flatten())
    if source not in tunings:
        held = [from_backbone(part, early, progress=False) for part in validations(data[source])]
        tunings[source] = {str(shots): heads.chosen_tuning(late, held, shots) for shots in heads.SHOTS}
    for name, tasks in tests.items():
        whole, parts = from_backbone(tasks, network, progress=False), from_backbone(tasks, early, progress=False)
        for shots in heads.SHOTS:
            tuned = {heads.TUNED: heads.tuned(late, *tunings[source][str(shots)])}
            found = heads.scored(heads.closed(), whole.with_(shots=shots), seed)
            found |= heads.scored(tuned, parts.with_(shots=shots), seed)
            row[f"{name}, {shots}"] = {head: heads.summed(values) for head, values in found.items()}
    row["seconds"], row["cpu"] = time.perf_counter() - began, time.process_time() - busy
    print(source, seed, {key: round(row[key][heads.CENTROID]["mean"], 1) for key in KEYS}, round(row["cpu"]), flush=True)
    return row


def controls(seed: int, tests: dict[str, Any]) -> Result:
    """The controls on pixels, on the same episodes."""
    return {
        f"{name}, {shots}": {
            who: heads.summed(values) for who, values in heads.scored(heads.pixels(), tasks.with_(shots=shots), seed).items()
        }
        for name, tasks in tests.items()
        for shots in heads.SHOTS
    }


def main() -> None:
    """The command; what stands in the JSON with as many steps is not run again."""
    options = command(__doc__, seeds=3).parse_args()
    torch.set_num_threads(1)
    if options.table:
        print(page())
        return
    run(options)
    print(page())


def run(options: argparse.Namespace) -> None:
    steps = max(int(STEPS * options.budget), 1)
    data, tests = families(DATA), targets(DATA)
    for seed in range(options.seeds):
        for source in ("pixels", *SOURCES):
            found = read(RESULTS)
            own = found.setdefault("entries", {}).setdefault(source, {})
            if str(seed) in own and own[str(seed)].get("steps", steps) == steps and not options.force:
                continue
            tunings = found.setdefault("tunings", {})
            own[str(seed)] = controls(seed, tests) if source == "pixels" else entry(source, seed, steps, data, tests, tunings)
            write(RESULTS, found | {"hardware": hardware(), "torch": torch.__version__})


# ---- the page -------------------------------------------------------------------------------------------------------------


def page() -> str:
    """The tables, from the JSON."""
    found = read(RESULTS)
    entries = found.get("entries", {})
    if not any(entries.values()):
        return "Not run.\n"
    columns = [f"{name}, {shots} shot" + "s" * (shots > 1) for shots in heads.SHOTS for name in TARGETS]
    rows = ["| trained on | head | " + " | ".join(columns) + " |", "|---|---|" + "---|" * len(KEYS)]
    for source in (*SOURCES, "pixels"):
        own = list(entries.get(source, {}).values())
        for head in heads.PIXELS if source == "pixels" else heads.HEADS:
            cells = [cell(heads.over_seeds([row[key][head] for row in own]), ".1f") if own else "not run" for key in KEYS]
            rows.append(f"| {'nothing' if source == 'pixels' else source} | {head} | " + " | ".join(cells) + " |")
    rows += [
        "",
        "The centroid's differences, paired by seed:",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(KEYS),
    ]
    rows += [f"| {one} less {other} | " + " | ".join(_differences(entries, one, other)) + " |" for one, other in PAIRS]
    every = [row for source in SOURCES for row in entries.get(source, {}).values()]
    rows += [
        "",
        f"5-way accuracy, %, mean and 95 % interval over seeds, of one seed over its tasks"
        f" ({', '.join(f'{s}: {len(entries.get(s, {}))}' for s in SOURCES)})."
        f" {sum(row['seconds'] for row in every):.0f} s in all on a shared machine,"
        f" {sum(row['cpu'] for row in every):.0f} s of one core; {found['hardware']}, torch {found['torch']}.",
    ]
    return "\n".join(rows) + "\n"


def _differences(entries: Result, one: str, other: str) -> list[str]:
    """Of the centroid's accuracy, over the seeds that both have."""
    seeds = entries.get(one, {}).keys() & entries.get(other, {}).keys()
    if not seeds:
        return ["not run"] * len(KEYS)
    mean = lambda source, seed, key: entries[source][seed][key][heads.CENTROID]["mean"]  # noqa: E731
    found = [[mean(one, seed, key) - mean(other, seed, key) for seed in sorted(seeds)] for key in KEYS]
    return [cell(interval(values), ".1f", "+") for values in found]


if __name__ == "__main__":
    main()
