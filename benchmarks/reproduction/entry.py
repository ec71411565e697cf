"""One published number made again: what is run, for how long, what the paper says and what it must reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch

import quickstudy as qs
from benchmarks.reproduction.pace import seconds_a_step
from quickstudy.artifacts.description import description
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.meta.outer.outer import cosine
from quickstudy.tasks import TaskDistribution, TaskFamily

EPISODES = 600
EXECUTOR = "auto" if torch.cuda.is_available() else "loop"  # Conv4 on one core of a CPU
SHORT, FULL, LONG = 180.0, 300.0, 1800.0  # seconds of meta-training
VALIDATIONS, VALIDATION_EPISODES = 10, 100  # of a run, and tasks of each
Result = dict[str, Any]
Run = Callable[[float, int], Result]
Build = Callable[[int], qs.Learner]
Outer = Callable[[int], qs.Gradient | None]


@dataclass(frozen=True)
class Entry:
    """One row: `run(seconds, seed)` gives its result."""

    title: str
    run: Run
    seconds: float
    paper: str
    target: float | None = None


def gradient(steps: int, lr: float = 2e-3) -> qs.Gradient:
    """Adam on the backpropagated gradient, whose rate falls to 0 as a cosine over the run."""
    return qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=lr, fused=True), falling(steps))


def falling(steps: int) -> Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LambdaLR]:
    """A rate that falls to 0 as a cosine over the run."""
    return partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=partial(cosine, steps=steps, final=0.0))


class Trained(NamedTuple):
    """A learner after its meta-training."""

    learner: qs.Learner
    run: TrainingResult
    seconds_a_step: float  # of one core, measured beforehand


def meta_trained(
    make: Build,
    tasks: TaskFamily,
    steps: int,
    seed: int,
    *,
    outer: Outer = gradient,
    validations: int = VALIDATIONS,
    **train: Any,
) -> tuple[qs.Learner, TrainingResult]:
    """The learner that `make` gives for so many meta-steps, after them; scored on meta-validation tasks so many times."""
    torch.manual_seed(seed)  # initial weights
    learner = make(steps)
    often = {"validate_every": max(steps // validations, 1), "validation_episodes": VALIDATION_EPISODES}
    return learner, qs.meta_train(learner, tasks, steps=steps, seed=seed, outer=outer(steps), **often | options(train))


def timed(make: Build, tasks: TaskFamily, seconds: float, seed: int, *, outer: Outer = gradient, **train: Any) -> Trained:
    """Meta-train for as many steps as `seconds` of one core hold."""
    tried = {name: value for name, value in options(train).items() if name not in ("keep", "validations")}
    a_step = seconds_a_step(make(1000), tasks.train, outer=outer(1000), **tried)
    return Trained(*meta_trained(make, tasks, max(int(seconds / a_step), 1), seed, outer=outer, **train), a_step)


def options(train: dict[str, Any]) -> dict[str, Any]:
    """Of `meta_train`, where an entry does not say."""
    return {"tasks_per_step": 16, "executor": EXECUTOR, "progress": False} | train


def scored(
    trained: Trained, test: TaskDistribution, seed: int, *, inner_steps: int | None = None, episodes: int = EPISODES
) -> Result:
    """The record of a training, with its score on meta-test tasks: of the ensemble of the checkpoints where it kept several."""
    learner, run, a_step = trained
    result = qs.evaluate(learner if len(run.kept) < 2 else qs.Ensemble.of(learner, run.kept), test, episodes, seed, inner_steps)
    validated = [one for one in run.history if "validation" in one]
    return {
        "mean": 100 * result.mean,
        "ci95": 100 * result.ci95,
        "unit": "%",
        "normalisation": learner.normalisation,
        "transductive": result.protocol["transductive"],
        "steps": len(run.history),
        "seconds_a_step": a_step if math.isfinite(a_step) else None,
        "validation": [[one["step"], 100 * one["validation"], 100 * one["validation_ci95"]] for one in validated],
        "training_seconds": run.seconds,
        "executor": run.executor,
        "train_protocol": run.protocol,
        "test_protocol": result.protocol,
        "learner": description(learner),
    }
