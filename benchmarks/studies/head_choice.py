"""Is a head chosen on the support as good as the best fixed one? On drawn validation books and Omniglot's background alphabets.

python -m benchmarks.studies.head_choice --omniglot FOLDER [--tasks 10]      writes benchmarks/studies/head_choice.json

For each set and number of shots: the accuracy of each fixed head and of the choice by leave-one-out on the same tasks, and the
mean difference of the choice from the head that turned out best, with its 95 % interval over tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies.pretrained_strokes.books import rows_of
from benchmarks.studies.pretrained_strokes.validation import QUERIES, WAYS, embedded, sets
from quickstudy.artifacts.store import PRETRAINED, weights_hash
from quickstudy.evaluation.head_choice import OWN, choose_head, with_head
from quickstudy.files import write_json

FIXED, SHOTS = (OWN, "ridge", "logistic"), (2, 5, 10)
SETS = ("drawn", "omniglot", "omniglot, bold")
FILE = Path(__file__).with_suffix(".json")


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--omniglot", type=Path, required=True, help="the folder of Omniglot")
    made.add_argument("--tasks", type=int, default=10, help="of each book or alphabet")
    options = made.parse_args()
    learner = qs.load("strokes")
    assert isinstance(learner, qs.Prototypical)
    data, rows = sets(options.omniglot, 60, 1), []
    for name in SETS:
        features = [embedded(learner.embed, group) for group in data[name]]
        for shots in SHOTS:
            rows.append({"set": name, "shots": shots, **row(features, shots, options.tasks)})
            print(rows[-1], flush=True)
    write_json(FILE, {"of": weights_hash(PRETRAINED / "strokes" / "learner"), "rows": rows}, indent=1)


@torch.no_grad()
def row(features: list[Tensor], shots: int, tasks: int) -> dict[str, Any]:
    """Accuracies of the fixed heads and of the choice, how often each was chosen, and the difference from the best one."""
    right: dict[str, list[float]] = {name: [] for name in (*FIXED, "chosen")}
    chosen = []
    y, truth = torch.arange(WAYS).repeat_interleave(shots), torch.arange(WAYS).repeat_interleave(QUERIES)
    for index, group in enumerate(features):
        picked = group.flatten(0, 1)[rows_of(group[None], tasks, WAYS, shots + QUERIES, torch.Generator().manual_seed(index))]
        for z in picked:
            support, query = qs.Examples(z[:, :shots].flatten(0, 1), y, ways=WAYS), z[:, shots:].flatten(0, 1)
            learner = qs.Prototypical(nn.Identity())
            for name in FIXED:
                found = with_head(learner, name).adapt(support)(query).argmax(1)
                right[name].append(float((found == truth).float().mean()))
            chosen.append(choose_head(learner, support).head)
            right["chosen"].append(right[chosen[-1]][-1])
    values = {name: torch.tensor(one, dtype=torch.float64) for name, one in right.items()}
    best = max(FIXED, key=lambda name: float(values[name].mean()))
    difference = values["chosen"] - values[best]
    interval = 1.96 * float(difference.std()) / len(difference) ** 0.5
    accuracy = {name: float(one.mean()) for name, one in values.items()}
    share = {name: chosen.count(name) / len(chosen) for name in FIXED}
    return {
        "tasks": len(chosen),
        "accuracy": accuracy,
        "share": share,
        "best": best,
        "difference": float(difference.mean()),
        "ci95": interval,
    }


if __name__ == "__main__":
    main()
