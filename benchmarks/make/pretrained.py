"""The learner that comes along: the candidate that validation chose, how it reads images, and its calibrations.

python -m benchmarks.make.pretrained --candidates FOLDER --name conv64_all      writes src/quickstudy/pretrained/strokes

FOLDER holds what `python -m benchmarks.studies.pretrained_strokes` wrote. The learner is Prototypical on the candidate's network;
its heads are calibrated on drawn validation characters, each by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

import quickstudy as qs
from benchmarks.studies.pretrained_strokes.books import books
from benchmarks.studies.pretrained_strokes.candidates import CANDIDATES
from benchmarks.studies.pretrained_strokes.validation import BOOKS, FIRST_BOOK, embedded
from quickstudy.evaluation.head_choice import OWN

PRETRAINED = Path(qs.__file__).parent / "pretrained" / "strokes"
TRAINED_ON = (
    "12000 drawn characters: 4000 of one style, then 8000 of 80 styles (see benchmarks/studies/pretrained_strokes); nothing else"
)
HEADS, SHOTS, EPISODES = (OWN, "ridge", "logistic"), 5, 400  # what is calibrated


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--candidates", type=Path, required=True)
    made.add_argument("--name", choices=list(CANDIDATES), required=True)
    options = made.parse_args()
    learner = qs.Prototypical(CANDIDATES[options.name].network(), normalisation="running")
    prefix = f"{options.name}.network."
    weights = load_file(options.candidates / "candidates.safetensors")
    learner.embed.load_state_dict({key.removeprefix(prefix): one for key, one in weights.items() if key.startswith(prefix)})
    learner.save(PRETRAINED / "learner")
    finish(learner)


def finish(learner: qs.Prototypical) -> None:
    """How it reads images, and the calibration of each head on drawn validation characters."""
    images = books(FIRST_BOOK, BOOKS, 60)
    features = embedded(learner.embed, images.flatten(0, 1))
    y = torch.arange(len(features)).repeat_interleave(features.shape[1])
    tasks = qs.tasks.LabelledTasks(features.flatten(0, 1), y, ways=5, shots=SHOTS, queries=15)
    qs.tasks.Preprocessing(28, channels=1, invert=True).save(PRETRAINED)
    for head in HEADS:
        found = qs.calibrate(qs.Prototypical(nn.Identity()), tasks, episodes=EPISODES, head=head)
        print(head, found, flush=True)
        found.save(PRETRAINED)


if __name__ == "__main__":
    main()
