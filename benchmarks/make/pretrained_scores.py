"""The scores of the learner that comes along, beside its control, the nearest centroid of the pixels, on the same tasks.

python -m benchmarks.make.pretrained_scores --omniglot FOLDER      writes src/quickstudy/pretrained/strokes/scores.json

Strokes: drawn characters of the kind that it was trained on, never seen. Omniglot: real characters of alphabets of the test part.
"""

from __future__ import annotations

import argparse
from datetime import date

import quickstudy as qs
from benchmarks.make.pretrained import PRETRAINED
from quickstudy.artifacts.store import weights_hash
from quickstudy.files import write_json
from quickstudy.tasks import TaskDistribution

COMMAND = "python -m benchmarks.make.pretrained_scores --omniglot FOLDER"
TRAINED_ON = "4000 drawn characters in 4 rotations (Strokes, seed 0), nothing else"
SHOTS = (1, 5)


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--omniglot", required=True, help="the folder of Omniglot")
    made.add_argument("--episodes", type=int, default=600)
    options = made.parse_args()
    drawn = qs.tasks.Strokes(classes=(4000, 100, 100), rotations=True, seed=0)
    real = qs.tasks.Omniglot(options.omniglot, split="alphabet", rotations=False)
    rows = [
        row
        for name, tasks in (("Strokes", drawn.test), ("Omniglot", real.test))
        for shots in SHOTS
        for row in scored(name, tasks.with_(ways=5, shots=shots), options.episodes)
    ]
    record = {"trained_on": TRAINED_ON, "of": weights_hash(PRETRAINED / "learner"), "scores": rows}
    write_json(PRETRAINED / "scores.json", {**record, "command": COMMAND, "date": date.today().isoformat()}, indent=1)


def scored(name: str, tasks: TaskDistribution, episodes: int) -> list[dict[str, object]]:
    """The learner's score and its control's, on the same tasks."""
    rows = []
    for who, learner in (("strokes", qs.load("strokes")), ("nearest centroid of the pixels", qs.NearestCentroid())):
        found = qs.evaluate(learner, tasks, episodes)
        print(name, who, found, flush=True)
        protocol = {key: found.protocol[key] for key in ("ways", "shots", "queries", "episodes", "seed")}
        rows.append({"tasks": name, "learner": who, **protocol, "accuracy": found.mean, "ci95": found.ci95})
    return rows


if __name__ == "__main__":
    main()
