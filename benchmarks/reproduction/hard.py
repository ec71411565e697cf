"""20-way one-shot within an alphabet, with a GPU's minutes: which network and head, chosen on meta-validation alphabets alone.

python -m benchmarks.reproduction.hard train NAME --seconds 200 --device cuda     one candidate, and its validation
python -m benchmarks.reproduction.hard score [--device cuda]                      the best by validation, once, on meta-test

Trained on 25 background alphabets and their quarter turns, 20 characters of one alphabet an episode; chosen on the 5 that are
held out; tested on the 20 evaluation alphabets. Batch norm has running statistics: a query is answered alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

import quickstudy as qs
from benchmarks.hardware import hardware
from benchmarks.reproduction.entry import gradient, meta_trained
from benchmarks.reproduction.few_shot_method import HARD, PROTOCOLS, omniglot
from benchmarks.reproduction.pace import seconds_a_step
from quickstudy.tasks import RandomAffine, TaskFamily

EPISODES, VALIDATION = 1000, 400


class Candidate(NamedTuple):
    """A learner, and the pixels a side that it sees."""

    learner: Callable[[], qs.Learner]
    size: int = 28
    tasks_per_step: int = 4
    lr: float = 2e-3


def residual(width: int) -> torch.nn.Module:
    return qs.models.resnet12(channels=(width, 2 * width, 4 * width, 8 * width), in_channels=1, dropout=0.1)


CANDIDATES = {
    "prototypical_conv4": Candidate(lambda: qs.Prototypical(qs.models.conv4(channels=64))),
    "prototypical_resnet": Candidate(lambda: qs.Prototypical(residual(32)), size=42, lr=1e-3),
    "r2d2_resnet": Candidate(lambda: qs.R2D2(residual(32)), size=42, lr=1e-3),
    "prototypical_resnet_56": Candidate(lambda: qs.Prototypical(residual(32)), size=56, lr=1e-3),
}


def tasks(size: int, device: str) -> TaskFamily:
    """The alphabets, with meta-training's characters turned, sheared, stretched and shifted."""
    family = omniglot(PROTOCOLS[HARD], size=size)
    family.train.transform = (RandomAffine(),)
    return family.to(device)


def train(name: str, seconds: float, device: str, out: Path, seed: int) -> None:
    """Train a candidate for so many seconds, and score it on meta-validation tasks."""
    candidate = CANDIDATES[name]
    seen = tasks(candidate.size, device)
    options: Any = {"tasks_per_step": candidate.tasks_per_step, "executor": "vmap", "device": device}
    outer = partial(gradient, lr=candidate.lr)
    a_step = seconds_a_step(
        candidate.learner(), seen.train, clock=time.perf_counter, outer=outer(1000), progress=False, **options
    )
    steps = max(int(seconds / a_step), 1)
    learner, run = meta_trained(lambda steps: candidate.learner(), seen, steps, seed, outer=outer, **options)
    found = qs.evaluate(learner, seen.validation, VALIDATION, seed)
    out.mkdir(parents=True, exist_ok=True)
    learner.cpu().save(out / f"{name}_{seed}")
    record = {
        "name": name,
        "seed": seed,
        "validation": 100 * found.mean,
        "validation_ci95": 100 * found.ci95,
        "steps": len(run.history),
        "seconds": seconds,
        "hardware": hardware(),
        "curve": [[one["step"], 100 * one["validation"]] for one in run.history if "validation" in one],
    }
    (out / f"{name}_{seed}.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    print(f"{name}, seed {seed}: {record['validation']:.2f} +- {record['validation_ci95']:.2f} after {record['steps']} steps")


def score(device: str, out: Path) -> None:
    """The candidate with the best validation, all its seeds, on meta-test tasks."""
    records = [
        json.loads(path.read_text(encoding="utf-8")) for name in CANDIDATES for path in sorted(out.glob(f"{name}_[0-9]*.json"))
    ]
    best = max(records, key=lambda one: one["validation"])["name"]
    for record in (one for one in records if one["name"] == best):
        learner: Any = qs.load(out / f"{best}_{record['seed']}")
        learner.to(device)
        found = qs.evaluate(learner, tasks(CANDIDATES[best].size, device).test, EPISODES, record["seed"])
        (out / f"score_{record['seed']}.json").write_text(
            json.dumps(record | {"mean": 100 * found.mean, "ci95": 100 * found.ci95, "protocol": found.protocol}) + "\n",
            encoding="utf-8",
        )
        print(f"{best}, seed {record['seed']}: test {100 * found.mean:.2f} +- {100 * found.ci95:.2f}")


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("what", choices=("train", "score"))
    made.add_argument("name", nargs="?", choices=CANDIDATES)
    made.add_argument("--seconds", type=float, default=200.0)
    made.add_argument("--device", default="cpu")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--out", type=Path, default=Path("runs/hard"))
    given = made.parse_args()
    if given.what == "train":
        train(given.name, given.seconds, given.device, given.out, given.seed)
    else:
        score(given.device, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
