"""One published number made again: what is run, for how long, what the paper says and what it must reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

import quickstudy as qs
from benchmarks.reproduction.pace import steps_within
from quickstudy.artifacts.description import description
from quickstudy.meta.outer.outer import cosine
from quickstudy.tasks import TaskFamily

EPISODES = 600
EXECUTOR = "auto" if torch.cuda.is_available() else "loop"  # Conv4 on one core of a CPU
SHORT, FULL, LONG = 180.0, 300.0, 1800.0  # seconds of meta-training
VALIDATIONS = 10  # of a run
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


def gradient(steps: int, lr: float = 2e-3) -> qs.Gradient:
    """Adam on the backpropagated gradient, whose rate falls to 0 as a cosine over the run."""
    return qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=lr, fused=True), falling(steps))


def falling(steps: int) -> Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LambdaLR]:
    """A rate that falls to 0 as a cosine over the run."""
    return partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=partial(cosine, steps=steps, final=0.0))


def trained(
    make: Callable[[int], qs.Learner],
    tasks: TaskFamily,
    seconds: float,
    seed: int,
    *,
    outer: Callable[[int], qs.Gradient | None] = gradient,
    test: Any = None,
    inner_steps: int | None = None,
    episodes: int = EPISODES,
    **train: Any,
) -> tuple[Result, qs.Learner]:
    """Meta-train for `seconds` of one core, then score on meta-test; with keep=M the ensemble of the M best checkpoints.

    Args:
        make: the learner for a run of so many meta-steps.
        outer: its outer method for so many; None: the learner's own.
        inner_steps: at the test.
        train: of `meta_train`.
    """
    options = {"tasks_per_step": 16, "executor": EXECUTOR, "progress": False} | train
    tried = {name: value for name, value in options.items() if name not in ("keep", "validation_episodes")}
    steps = steps_within(seconds, make(1000), tasks.train, outer=outer(1000), **tried)
    torch.manual_seed(seed)  # initial weights
    learner = make(steps)
    often = {"validate_every": max(steps // VALIDATIONS, 1), "validation_episodes": 100}
    run = qs.meta_train(learner, tasks, steps=steps, seed=seed, outer=outer(steps), **often | options)
    scored = learner if options.get("keep", 1) == 1 else qs.Ensemble.of(learner, run.kept)
    result = qs.evaluate(scored, test or tasks.test, episodes, seed, inner_steps)
    validated = [one for one in run.history if "validation" in one]
    record = {
        "mean": 100 * result.mean,
        "ci95": 100 * result.ci95,
        "unit": "%",
        "normalisation": learner.normalisation,
        "transductive": result.protocol["transductive"],
        "steps": len(run.history),
        "validation": [[one["step"], 100 * one["validation"], 100 * one["validation_ci95"]] for one in validated],
        "training_seconds": run.seconds,
        "executor": run.executor,
        "train_protocol": {**tasks.train.protocol, "tasks_per_step": options["tasks_per_step"]},
        "test_protocol": result.protocol,
        "learner": description(learner),
    }
    return record, learner
