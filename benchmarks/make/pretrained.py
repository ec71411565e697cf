"""The learner that comes along: Prototypical, meta-trained for five minutes on drawn characters alone, and its calibration.

python -m benchmarks.make.pretrained [--seconds 300]       writes src/quickstudy/pretrained/strokes
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch

import quickstudy as qs
from benchmarks.reproduction.entry import EXECUTOR, gradient
from benchmarks.reproduction.pace import steps_within
from quickstudy.tasks import TaskFamily

PRETRAINED = Path(qs.__file__).parent / "pretrained" / "strokes"


def main() -> None:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--seconds", type=float, default=300.0)
    seconds = made.parse_args().seconds
    torch.manual_seed(0)
    drawn = qs.tasks.Strokes(classes=(4000, 100, 100), rotations=True, seed=0)
    tasks = TaskFamily(drawn.train.with_(ways=30, queries=3), drawn.validation, drawn.test)
    learner = qs.Prototypical(qs.models.conv4(), normalisation="running")
    options = {"tasks_per_step": 2, "executor": EXECUTOR}
    steps = steps_within(seconds, copy.deepcopy(learner), tasks.train, progress=False, **options)
    often = {"validate_every": 250, "validation_episodes": 100}
    print(qs.meta_train(learner, tasks, steps=steps, outer=gradient(steps), **often, **options))
    learner.save(PRETRAINED / "learner")
    finish(learner, drawn)
    print(qs.evaluate(learner, drawn.test))


def finish(learner: qs.Learner, drawn: TaskFamily) -> None:
    """How it reads images, and its calibration on drawn validation characters."""
    drawn.preprocessing.save(PRETRAINED)
    qs.calibrate(learner, drawn.validation, episodes=300).save(PRETRAINED)


if __name__ == "__main__":
    main()
