"""Settings of a method compared at equal meta-steps, on meta-validation tasks alone: three trainings in a row, scored after each.

python -m benchmarks.reproduction.settings 60 anil_20w_0.1 anil_20w_1.0        what settings.md records
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch

import quickstudy as qs
from benchmarks.reproduction.few_shot_method import omniglot
from benchmarks.reproduction.omniglot import TRANSDUCTIVE, half
from quickstudy.learners.descend.rule import SGD, Adam, InnerRule
from quickstudy.linear_solvers import ConjugateGradient
from quickstudy.meta.estimators import ReptileDirection

VALIDATION = 100  # tasks


class Candidate(NamedTuple):
    """A learner with its settings, and how it is trained."""

    learner: Callable[[], qs.Learner]
    ways: int
    train: dict[str, int]
    tasks_per_step: int
    outer: Callable[[], qs.Gradient]
    inner_steps: int | None = None  # at validation


def adam() -> qs.Gradient:
    return qs.Gradient(qs.Backprop(), partial(torch.optim.Adam, lr=2e-3, fused=True))


def towards() -> qs.Gradient:
    return qs.Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=1.0))


def cavia(rate: float) -> Candidate:
    make = partial(qs.CAVIA, inner_lr=rate, inner_steps=2, **TRANSDUCTIVE)
    return Candidate(lambda: make(qs.models.ContextConv4(5, channels=32)), 5, {"queries": 3}, 4, adam)


def anil(ways: int, rate: float) -> Candidate:
    make = partial(qs.ANIL, inner_lr=rate, inner_steps=5, **TRANSDUCTIVE)
    return Candidate(lambda: make(half(ways)), ways, {"queries": 5}, 8 if ways == 5 else 2, adam)


def reptile(rule: InnerRule, rate: float) -> Candidate:
    make = partial(qs.Reptile, rule=rule, inner_lr=rate, inner_steps=5, **TRANSDUCTIVE)
    return Candidate(lambda: make(half(5)), 5, {"shots": 10, "queries": 1}, 5, towards, 50)


def imaml(damping: float) -> Candidate:
    solver = ConjugateGradient(steps=5, damping=damping, at_negative="stop")
    make = partial(qs.IMAML, inner_lr=0.1, inner_steps=16, proximal_weight=2.0, solver=solver, **TRANSDUCTIVE)
    return Candidate(lambda: make(half(5)), 5, {"queries": 5}, 4, adam)


CANDIDATES: dict[str, Candidate] = {
    **{f"cavia_{rate}": cavia(rate) for rate in (0.5, 1.0, 10.0)},
    **{f"anil_{ways}w_{rate}": anil(ways, rate) for ways in (5, 20) for rate in (0.1, 0.5, 1.0)},
    **{f"imaml_damping_{damping}": imaml(damping) for damping in (0.0, 2.0, 10.0, 22.0)},
    "reptile_adam_0.001": reptile(Adam(b1=0.0), 1e-3),
    "reptile_adam_eps_0.001": reptile(Adam(b1=0.0, eps=1e-2), 1e-3),
    "reptile_adam_eps_0.01": reptile(Adam(b1=0.0, eps=1e-2), 1e-2),
    "reptile_sgd_0.1": reptile(SGD(), 0.1),
}


def curve(candidate: Candidate, steps: int) -> list[Any]:
    """The scores after each third of the steps, in per cent with their intervals."""
    torch.manual_seed(0)
    train, queries = {"shots": 1, **candidate.train}, 15 if candidate.ways == 5 else 5
    tasks, learner, scores = omniglot(ways=candidate.ways, queries=queries, train=train), candidate.learner(), []
    options = {"tasks_per_step": candidate.tasks_per_step, "executor": "loop", "progress": False}
    for seed in range(3):
        qs.meta_train(learner, tasks.train, steps=steps // 3, seed=seed, outer=candidate.outer(), **options)
        scores.append(qs.evaluate(learner, tasks.validation, VALIDATION, 0, candidate.inner_steps, executor="loop"))
    return scores


def main() -> int:
    """The command."""
    torch.set_num_threads(1)
    for name in sys.argv[2:]:
        scores = curve(CANDIDATES[name], int(sys.argv[1]))
        print(name, *(f"{100 * one.mean:.1f} +- {100 * one.ci95:.1f}" for one in scores), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
