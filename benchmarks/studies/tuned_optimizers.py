"""The optimizers that a learned rule stands beside, each at the best rate of a grid, and how the rule is chosen."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies.study import Result
from quickstudy.learners.bilevel.learned_training import LearnedTraining

RATES = [10 ** (exponent / 3) for exponent in range(-15, 4)]  # 1e-5 .. 10, three to a decade
STEPS = 100

BASELINES: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "SGD": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "NAG": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "RMSprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr),
    "Adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
}


def summary(values: Tensor) -> Result:
    """Mean and half of its 95 % interval over problems; a diverged problem makes both infinite."""
    values = values.double()
    return {"mean": float(values.mean()), "ci95": float(1.96 * values.std() / len(values) ** 0.5)}


def finite(value: Tensor) -> float:
    return float(value) if bool(torch.isfinite(value)) else math.inf


def selected(run: LearnedTraining, train: Callable[[LearnedTraining, float], None], score: Callable[[nn.Module], float],
             rates: tuple[float, ...]) -> tuple[nn.Module, Result]:  # fmt: skip
    """The best rule over a few outer rates, by its score on tuning problems; every run has the same share of the time."""
    scores, rules = {}, {}
    for lr in rates:
        own = copy.deepcopy(run)
        train(own, lr)
        rules[lr], scores[lr] = own.rule, score(own.rule)
        print(f"    outer rate {lr}: {scores[lr]:.5g}", flush=True)
    best = min(scores, key=lambda lr: scores[lr] if math.isfinite(scores[lr]) else math.inf)
    return rules[best], {"outer_rate": best, "tuning": {str(lr): value for lr, value in scores.items()}}


def outer(lr: float, seconds: float) -> qs.Gradient:
    """Adam whose rate falls to a tenth over the budget."""
    began: list[float] = []

    def factor(_: int) -> float:
        began[:] = began or [time.perf_counter()]
        return 0.1 ** min((time.perf_counter() - began[0]) / seconds, 1.0)

    return qs.Gradient(
        optimizer=partial(torch.optim.Adam, lr=lr), scheduler=lambda own: torch.optim.lr_scheduler.LambdaLR(own, factor)
    )
