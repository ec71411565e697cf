"""Settings of a method compared at equal meta-steps, on meta-validation tasks alone: what settings.md records.

python -m benchmarks.reproduction.settings 600 reptile_adam reptile_sgd_0.1
python -m benchmarks.reproduction.settings --list
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

import quickstudy as qs
from benchmarks.reproduction.entry import gradient
from benchmarks.reproduction.few_shot_method import Method, Setting
from benchmarks.reproduction.omniglot import METHODS, TRANSDUCTIVE, half, half_size
from quickstudy.learners.descend.rule import SGD, Adam, InnerRule
from quickstudy.linear_solvers import ConjugateGradient

CURVE = 6  # validations of a run


def cavia(rate: float) -> Callable[[Setting], qs.Learner]:
    make: Any = partial(qs.CAVIA, inner_lr=rate, inner_steps=2, **TRANSDUCTIVE)
    return lambda at: make(qs.models.ContextConv4(at.ways, channels=32))


def anil(rate: float) -> Callable[[Setting], qs.Learner]:
    return lambda at: qs.ANIL(half(at.ways), inner_lr=rate, inner_steps=5, **TRANSDUCTIVE)


def reptile(rule: InnerRule, rate: float) -> Callable[[Setting], qs.Learner]:
    return lambda at: qs.Reptile(half(at.ways), rule=rule, inner_lr=rate, inner_steps=5, **TRANSDUCTIVE)


def imaml(damping: float) -> Callable[[Setting], qs.Learner]:
    solver = ConjugateGradient(steps=5, damping=damping, at_negative="stop")
    make: Any = partial(qs.IMAML, inner_lr=0.1, inner_steps=16, proximal_weight=2.0, solver=solver, **TRANSDUCTIVE)
    return lambda at: make(half(at.ways))


def maml_plus_plus(**given: Any) -> Callable[[Setting], qs.Learner]:
    make: Any = partial(qs.MAMLPlusPlus, inner_lr=0.1, inner_steps=5, **TRANSDUCTIVE, **given)
    return lambda at: make(half(at.ways), steps=at.steps)


def mann(**given: Any) -> Callable[[Setting], qs.Learner]:
    return lambda at: qs.MANN(half_size(), 32, max_ways=at.ways, **given)


BUILDS: dict[str, tuple[str, Callable[[Setting], qs.Learner]]] = {  # the entry, and the learner in its place
    **{f"cavia_{rate}": ("cavia", cavia(rate)) for rate in (0.5, 1.0, 10.0)},
    **{f"anil_{rate}": ("anil", anil(rate)) for rate in (0.1, 0.5, 1.0)},
    **{f"imaml_damping_{damping}": ("imaml", imaml(damping)) for damping in (0.0, 2.0, 10.0, 22.0)},
    "reptile_adam": ("reptile", reptile(Adam(b1=0.0), 1e-3)),
    "reptile_adam_eps_0.001": ("reptile", reptile(Adam(b1=0.0, eps=1e-2), 1e-3)),
    "reptile_adam_eps_0.01": ("reptile", reptile(Adam(b1=0.0, eps=1e-2), 1e-2)),
    "reptile_sgd_0.1": ("reptile", reptile(SGD(), 0.1)),
    "reptile_sgd_0.5": ("reptile", reptile(SGD(), 0.5)),
    "maml_plus_plus": ("maml_plus_plus", maml_plus_plus()),
    "maml_plus_plus_second_order": ("maml_plus_plus", maml_plus_plus(first_order=0)),
    "maml_plus_plus_rate_0.002": ("maml_plus_plus", maml_plus_plus(outer_lr=2e-3)),
    "mann": ("mann", mann(recurrent=False, sequence=False)),
    "mann_recurrent": ("mann", mann(sequence=False)),
    "mann_sequence": ("mann", mann(recurrent=False)),
}
CANDIDATES: dict[str, Method] = {
    **{name: replace(METHODS[entry], build=build) for name, (entry, build) in BUILDS.items()},
    "snail": METHODS["snail"],
    "snail_rate_0.0005": replace(METHODS["snail"], outer=partial(gradient, lr=5e-4)),
    "snail_end_to_end": METHODS["snail_end_to_end"],
}


def curve(method: Method, steps: int, protocol: str, seconds: float) -> list[str]:
    """The scores on meta-validation tasks along a run, in per cent with their intervals."""
    trained, tasks = replace(method, validations=CURVE, keep=1).trained(protocol, seconds, 0, steps)
    scores = [(one["validation"], one["validation_ci95"]) for one in trained.run.history if "validation" in one]
    if method.test_steps is not None:  # as many inner steps as at the test
        last = qs.evaluate(trained.learner, tasks.validation, 100, 0, method.test_steps)
        scores.append((last.mean, last.ci95))
    return [f"{100 * mean:.1f} +- {100 * ci95:.1f}" for mean, ci95 in scores]


def main() -> int:
    """The command."""
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("steps", type=int, nargs="?", default=60, help="meta-steps of each")
    made.add_argument("names", nargs="*", choices=CANDIDATES, help="candidates")
    made.add_argument("--protocol", default="5w1s")
    made.add_argument("--seconds", type=float, default=120.0, help="twice those of a frozen embedding's training")
    made.add_argument("--list", action="store_true", help="name the candidates and stop")
    given = made.parse_args()
    if given.list:
        print("\n".join(CANDIDATES))
        return 0
    torch.set_num_threads(1)
    for name in given.names:
        print(name, given.protocol, *curve(CANDIDATES[name], given.steps, given.protocol, given.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
