"""Task augmentation on Omniglot from 50 training classes instead of 964: what each brings over none.

    python -m benchmarks.studies.task_augmentation                what the JSON beside this does not hold yet
    python -m benchmarks.studies.task_augmentation --seeds 1 --force
    python -m benchmarks.studies.task_augmentation --budget 0.1   a tenth of the meta-steps
    python -m benchmarks.studies.task_augmentation --table        the table from the JSON

A prototypical network, four blocks of 32 channels, meta-trained for STEPS steps of one 10-way 1-shot task with 5 queries, all
rows alike: Adam at 1e-3, the best of four checkpoints by meta-validation. A seed draws 50 meta-training and 50 meta-validation
characters of the 964 background ones, the weights and the episodes, alike for every row; the test is on the 659 evaluation
characters, 600 tasks of 5-way 1-shot. No row has rotations unless it says so.

Settings were chosen on the meta-validation characters of seed 100, which is in no row, among those of CANDIDATES. The third of
MetaMix was added after the test had been read for the first, which mixes every query and stood at -7.6 points, in a first table
at 14 x 14, three blocks and 400 steps. There Rotations and MixTasks together brought +3.35 +- 2.96 over seeds, and no other row a
gain by its interval. RandomAffine is no task augmentation (it transforms images within their classes) and stands beside them as
the usual remedy. ShuffleChannels and PermuteChannels refuse grey images, which have one channel; PermuteLabels is what these
tasks do anyway.

Two intervals, both 95 %, of differences paired by test task: over the three seeds by Student's t, and over all test tasks, whose
seeds then count as given. Real Omniglot is looked for in $OMNIGLOT, else ../shared/data/omniglot.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from benchmarks.reproduction.reproduce import hardware
from benchmarks.studies.study import Result, cell, command, interval, read, write
from quickstudy.tasks import (
    FeatureNoise,
    LabelNoise,
    MergeClasses,
    MetaMix,
    MixTasks,
    RandomAffine,
    Rotations,
    SplitClasses,
)

RESULTS = Path(__file__).resolve().parent / "task_augmentation.json"
CLASSES, STEPS, WAYS, QUERIES, SIDE, EPISODES, HELD, CHOOSING = 50, 600, 10, 5, 28, 600, 100, 100
CANDIDATES: dict[str, list[Any]] = {
    "none": [],
    "Rotations": [Rotations()],
    "SplitClasses": [SplitClasses("clusters"), SplitClasses("random")],
    "MergeClasses": [MergeClasses()],
    "FeatureNoise": [FeatureNoise(0.1), FeatureNoise(0.3)],
    "LabelNoise": [LabelNoise(0.05), LabelNoise(0.2)],
    "MetaMix": [MetaMix(0.5), MetaMix(2.0), MetaMix(0.5, 0.5)],
    "MixTasks": [MixTasks(0.5, 0.5), MixTasks(2.0, 1.0)],
    "RandomAffine": [RandomAffine()],
}
BOTH = ("Rotations", "MixTasks")  # the last row has both


@cache
def characters() -> tuple[torch.Tensor, list[str], list[str], list[str]]:
    """All images, the name of each, and the names of the background and of the evaluation characters."""
    root = os.environ.get("OMNIGLOT", str(Path(__file__).resolve().parents[3] / "shared" / "data" / "omniglot"))
    family = qs.tasks.Omniglot(root, split="alphabet", rotations=False, size=SIDE)
    names = [part.class_names[label] for part in family.parts.values() for label in part.y.tolist()]
    background = family.classes["train"] + family.classes["validation"]
    return torch.cat([part.x for part in family.parts.values()]), names, background, family.classes["test"]


def tasks(seed: int, changes: list[Any]) -> qs.tasks.TaskFamily:
    """The family of a seed under augmentations or transforms."""
    x, names, background, test = characters()
    order = torch.randperm(len(background), generator=torch.Generator().manual_seed(seed)).tolist()
    train, held = ([background[place] for place in order[start : start + CLASSES]] for start in (0, CLASSES))
    split = {"train": train, "validation": held, "test": test}
    wanted = {name for part in split.values() for name in part}
    rows = [row for row, name in enumerate(names) if name in wanted]
    family = qs.tasks.from_arrays(
        x[rows],
        [names[row] for row in rows],
        split=split,
        queries=QUERIES,
        normalise=False,
        augment=[one for one in changes if not isinstance(one, RandomAffine)],
        transform=[one for one in changes if isinstance(one, RandomAffine)],
    )
    return qs.tasks.TaskFamily(family.train.with_(ways=WAYS), family.validation, family.test)


def run(seed: int, changes: list[Any], steps: int) -> Result:
    """One learner: its meta-validation accuracy, and how many of its 25 test queries each task has right."""
    torch.set_num_threads(1)
    began = time.process_time()
    family = tasks(seed, changes)
    torch.manual_seed(seed)
    learner = qs.Prototypical(qs.models.conv4(channels=32, size=SIDE))
    options: Any = {"steps": steps, "tasks_per_step": 1, "validate_every": max(steps // 4, 1), "validation_episodes": HELD}
    outer = qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=1e-3))
    qs.meta_train(learner, family, outer=outer, executor="loop", seed=seed, progress=False, **options)
    found: Result = {"changes": repr(changes), "steps": steps}
    found["meta-validation"] = 100 * qs.evaluate(learner, family.validation, EPISODES // 2, seed).mean
    if seed != CHOOSING:
        scores = qs.evaluate(learner, family.test, EPISODES, seed).per_episode
        found["right"] = " ".join(str(round(score * 5 * QUERIES)) for score in scores)
    found["cpu"] = time.process_time() - began
    return found


def settings(chosen: dict[str, Result]) -> dict[str, list[Any]]:
    """The rows: of each augmentation the setting with the best meta-validation accuracy of the seed that chooses."""
    rows = {}
    for name, candidates in CANDIDATES.items():
        best = max(candidates, key=lambda one: chosen[repr([one])]["meta-validation"]) if len(candidates) > 1 else None
        rows[name] = [best] if best is not None else candidates
    rows[" and ".join(BOTH)] = [one for name in BOTH for one in rows[name]]
    return rows


def summary(rows: dict[str, list[Any]], entries: dict[str, Result], chosen: dict[str, Result], seeds: int) -> Result:
    """Accuracies of every row, and paired differences to none."""
    found: Result = {"seeds": seeds, "cpu": sum(one["cpu"] for one in (*entries.values(), *chosen.values()))}
    right = {name: [_accuracies(entries[f"{name}, seed {seed}"]["right"]) for seed in range(seeds)] for name in rows}
    for name, own in right.items():
        less = [a - b for a, b in zip(own, right["none"], strict=True)]
        pooled = torch.cat(less)
        found[name] = {
            "setting": repr(rows[name]),
            "accuracy": interval([float(one.mean()) for one in own]),
            "over seeds": interval([float(one.mean()) for one in less]),
            "over tasks": [float(pooled.mean()), float(1.96 * pooled.std() / len(pooled) ** 0.5)],
            "meta-validation": interval([entries[f"{name}, seed {seed}"]["meta-validation"] for seed in range(seeds)]),
        }
    return found


def _accuracies(right: str) -> torch.Tensor:
    """Of each test task, in per cent."""
    return torch.tensor([int(one) for one in right.split()]).double() * (100 / (5 * QUERIES))


def page() -> str:
    """The table, from the JSON."""
    found = read(RESULTS)
    whole = found.get("summary", {})
    lines = [
        f"Prototypical network at {SIDE} x {SIDE}, {CLASSES} meta-training characters, {STEPS} meta-steps, 5-way 1-shot on the"
        f" 659 evaluation characters, {EPISODES} test tasks for each of {whole.get('seeds', '?')} seeds. Differences to none are"
        " paired by task; an interval in bold excludes zero.",
        "",
        "| augmentation | makes | test accuracy, % | gain, over seeds | gain, over tasks | meta-validation accuracy, % |",
        "|---|---|---|---|---|---|",
    ]
    makes = {name: getattr(one[0], "makes", "images of the same classes") for name, one in CANDIDATES.items() if one}
    for name in [*CANDIDATES, " and ".join(BOTH)]:
        if name not in whole:
            lines.append(f"| {name} | not run | | | | |")
            continue
        own = whole[name]
        gains = ["", ""] if name == "none" else [_gain(own[key]) for key in ("over seeds", "over tasks")]
        setting = "none" if name == "none" else "`" + own["setting"].strip("[]") + "`"
        kind = "; ".join(dict.fromkeys(makes[part] for part in name.split(" and ") if part in makes))
        cells = (setting, kind, cell(own["accuracy"]), *gains, cell(own["meta-validation"]))
        lines.append("| " + " | ".join(cells) + " |")
    if whole:
        rows = [name for name in whole if name not in ("none", "seeds", "cpu")]
        better = [name for name in rows if _low(whole[name]["over seeds"]) > 0]
        worse = [name for name in rows if _low([-whole[name]["over seeds"][0], whole[name]["over seeds"][1]]) > 0]
        lines += [
            "",
            (f"Over seeds, these bring a gain whose interval excludes zero: {', '.join(better)}." if better else NONE)
            + (f" These cost accuracy: {', '.join(worse)}." if worse else " None costs accuracy by such an interval.")
            + f" {len(rows)} rows are compared with none, with no correction for their number; three seeds leave wide intervals.",
            "",
            f"{whole['cpu'] / 60:.0f} minutes of one core, with the choice of settings; {found['hardware']}, one thread each,"
            f" torch {found['torch']}.",
        ]
    return "\n".join(lines) + "\n"


NONE = "Over seeds, no augmentation brings a gain whose interval excludes zero."


def _low(pair: list[float]) -> float:
    return pair[0] - pair[1] if pair[1] is not None else float("-inf")


def _gain(pair: list[float]) -> str:
    text = cell(pair, sign="+")
    return f"**{text}**" if max(_low(pair), _low([-pair[0], pair[1]])) > 0 else text


def _missing(jobs: dict[str, tuple[int, list[Any]]], done: dict[str, Result], steps: int, force: bool) -> dict[str, Any]:
    return {
        key: job
        for key, job in jobs.items()
        if force or done.get(key, {}).get("steps") != steps or done[key]["changes"] != repr(job[1])
    }


def work(jobs: dict[str, tuple[int, list[Any]]], part: str, steps: int, workers: int, force: bool) -> dict[str, Result]:
    """Run what is missing of a part of the JSON, two at a time; each result is written as it comes."""
    found = read(RESULTS)
    missing = _missing(jobs, found.setdefault(part, {}), steps, force)
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        running = {pool.submit(run, seed, changes, steps): key for key, (seed, changes) in missing.items()}
        for one in as_completed(running):
            found[part][running[one]] = one.result()
            found |= {"hardware": hardware(), "torch": torch.__version__}
            write(RESULTS, found)
            print(running[one], round(one.result()["meta-validation"], 1), f"{one.result()['cpu']:.0f} s", flush=True)
    return found[part]


def main() -> None:
    """The command; a learner that stands in the JSON with as many meta-steps is not run again."""
    parser = command(__doc__, seeds=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    steps = max(int(STEPS * options.budget), 1)
    if options.table:
        print(page())
        return
    characters()  # read once: the workers are forks
    rest = steps, options.workers, options.force
    several = [one for candidates in CANDIDATES.values() if len(candidates) > 1 for one in candidates]
    chosen = work({repr([one]): (CHOOSING, [one]) for one in several}, "choice", *rest)
    rows = settings(chosen)
    jobs = {f"{name}, seed {seed}": (seed, changes) for seed in range(options.seeds) for name, changes in rows.items()}
    entries = work(jobs, "entries", *rest)
    write(RESULTS, read(RESULTS) | {"summary": summary(rows, entries, chosen, options.seeds)})
    print(page())


if __name__ == "__main__":
    main()
