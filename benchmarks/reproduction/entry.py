"""One published number made again: what is run, for how long, what the paper says and what it must reach."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

import quickstudy as qs
from quickstudy.tasks import TaskFamily

EPISODES = 600
EXECUTOR = (
    "auto" if torch.cuda.is_available() else "threads" if torch.get_num_threads() > 1 else "loop"
)  # Conv4 on a CPU: unmeasured
SHORT, FULL, LONG = 180.0, 300.0, 1800.0  # seconds of meta-training
Result = dict[str, Any]
Run = Callable[[float, int], Result]


@dataclass(frozen=True)
class Entry:
    """One row: `run(seconds, seed)` gives its result."""

    title: str
    run: Run
    seconds: float
    paper: str
    target: float | None = None
    notes: str = field(default="")


def cosine_in_time(seconds: float) -> Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LambdaLR]:
    """A rate that falls to 0 as a cosine over the time budget, whatever the number of steps that fits into it."""
    began: list[float] = []

    def factor(step: int) -> float:
        began[:] = began or [time.perf_counter()]
        return 0.5 * (1 + math.cos(math.pi * min((time.perf_counter() - began[0]) / seconds, 1.0)))

    return lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def gradient(seconds: float, lr: float = 2e-3) -> qs.Gradient:
    """Adam on the backpropagated gradient, whose rate falls to 0 over the budget."""
    return qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=lr, fused=True), cosine_in_time(seconds))


def trained(
    learner: qs.Learner,
    tasks: TaskFamily,
    seconds: float,
    seed: int,
    test: Any = None,
    steps: int | None = None,
    episodes: int = EPISODES,
    **train: Any,
) -> Result:
    """Meta-train for `seconds`, then score on meta-test; with keep=M the ensemble of the M best checkpoints."""
    options = {
        "steps": 10**6,
        "tasks_per_step": 16,
        "validate_every": 250,
        "validation_episodes": 100,
        "executor": EXECUTOR,
    } | train
    run = qs.meta_train(learner, tasks, seconds=seconds, seed=seed, **options)
    scored = learner if options.get("keep", 1) == 1 else qs.Ensemble.of(learner, run.kept)
    result = qs.evaluate(scored, test or tasks.test, episodes, seed, steps, progress=True)
    return {
        "mean": 100 * result.mean,
        "ci95": 100 * result.ci95,
        "unit": "%",
        "normalisation": learner.normalisation,
        "transductive": result.protocol["transductive"],
        "steps": len(run.history),
        "training_seconds": run.seconds,
        "executor": run.executor,
        "train_protocol": {**tasks.train.protocol, "tasks_per_step": options["tasks_per_step"]},
        "test_protocol": result.protocol,
    }
