"""Sinusoids: the mean squared error before adaptation and after 1, 5 and 10 steps, over 600 tasks. K = 10 where none is named.

CAVIA's table beside MAML with as many extra inputs: an inner step of rate 1.0 (MAML 0.1), 25 tasks a meta-step, 1-40-40-1 with
the extra numbers at its input, Adam of rate 0.001 times 0.9 every 5,000 meta-steps, 50,000 meta-steps or the time budget,
whichever ends first; scored on 100 points a task. In CAVIA the extra numbers alone adapt, from 0; in MAML the whole network does.

Source: Zintgraf et al., "Fast Context Adaptation via Meta-Learning", ICML 2019, section 5.1 and table 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.reproduction.entry import EPISODES, SHORT, Entry, Result, Run
from quickstudy.errors import NotFiniteError
from quickstudy.learners.descend import SGD
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.tasks import TaskDistribution

STEPS = (0, 1, 5, 10)


def sinusoid(recipe: Callable[..., qs.Learner], network: Callable[[], torch.nn.Module] = qs.models.mlp, **arguments: Any) -> Run:
    """A learner that descends, 25 tasks a meta-step."""

    def run(seconds: float, seed: int) -> Result:
        tasks = qs.tasks.Sinusoid(shots=10, queries=10)
        learner = recipe(network(), **arguments)
        is_reptile = recipe is qs.Reptile
        outer = qs.Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=0.1)) if is_reptile else None
        run = qs.meta_train(
            learner, tasks, steps=10**6, tasks_per_step=25, seconds=seconds, seed=seed, outer=outer, validate_every=2000
        )
        return scored(learner, tasks.test, run, seed)

    return run


def scored(learner: qs.Learner, test: TaskDistribution, run: Any, seed: int) -> Result:
    """The errors after each number of steps; the one after 1 is the entry's."""
    curve: dict[str, dict[str, float | None]] = {}
    for steps in STEPS:
        try:
            result = qs.evaluate(learner, test, EPISODES, seed, steps)
        except NotFiniteError:
            if steps == 1:
                raise
            curve[str(steps)] = {"mean": None, "ci95": None}  # a task diverges: the rate was learned for one step
        else:
            curve[str(steps)] = {"mean": result.mean, "ci95": result.ci95}
    return {
        **curve["1"],
        "unit": "mse",
        "curve": curve,
        "normalisation": "none",
        "transductive": False,
        "steps": len(run.history),
        "training_seconds": run.seconds,
        "executor": run.executor,
    }


class WithInputs(nn.Module):
    """A network that sees n learned numbers beside x; unlike `WithContext`'s they are parameters: f([x, b])."""

    def __init__(self, network: nn.Module, n: int):
        super().__init__()
        self.network, self.b = network, nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(torch.cat([x, self.b.expand(len(x), -1)], 1))


def with_numbers(n: int, shots: int, adapts_all: bool) -> Run:
    """CAVIA with n context parameters, or MAML with n extra inputs; one inner step."""

    def run(seconds: float, seed: int) -> Result:
        tasks = qs.tasks.Sinusoid(shots=shots, queries=10)
        network = qs.models.mlp(1 + n)
        if adapts_all:
            learner = qs.MAML(WithInputs(network, n) if n else network, inner_lr=0.1)
        else:
            learner = qs.CAVIA(qs.models.WithContext(network, size=n), inner_lr=1.0)
        outer = qs.Gradient(
            qs.Backprop(),
            partial(torch.optim.Adam, lr=1e-3, fused=True),
            lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 5000, 0.9),
        )
        run = qs.meta_train(
            learner, tasks, steps=50_000, tasks_per_step=25, seconds=seconds, seed=seed, outer=outer, validate_every=2000
        )
        return scored(learner, tasks.test.with_(queries=100), run, seed) | {"shots": shots, "numbers": n}

    return run


NUMBERS = (0, 1, 2, 3, 4, 5, 50)
PAPERS = {  # table 1, K = 10, mean squared error
    "cavia": dict(zip(NUMBERS[1:], ("0.84 +- 0.06", "0.21 +- 0.02", "0.20 +- 0.02", *["0.19 +- 0.02"] * 3), strict=True)),
    "maml": dict(zip(NUMBERS, ("0.33 +- 0.02", "0.29", "0.24", "0.24", "0.23", "0.23", "0.23"), strict=True)),
}
NAMES = {"cavia": "sinusoid_cavia_{}", "maml": "sinusoid_maml_inputs_{}"}


def context_entries() -> dict[str, Entry]:
    """CAVIA's table, and its ends at K = 5."""
    made = {}
    for shots, numbers in ((10, NUMBERS), (5, (0, 2, 5))):
        for n in numbers:
            for name, title in (("cavia", f"CAVIA, {n} context parameters"), ("maml", f"MAML, {n} extra inputs")):
                if n or name == "maml":
                    paper = PAPERS[name][n] if shots == 10 else "none published"
                    key = NAMES[name].format(n) + ("" if shots == 10 else f"_{shots}shot")
                    run = with_numbers(n, shots, name == "maml")
                    made[key] = Entry(f"{title}, sinusoid K={shots}", run, 120.0, paper)
    return made


def page() -> str:
    """CAVIA's table, from benchmarks/reproduction/reproduce.json."""
    path = Path(__file__).resolve().parent / "reproduce.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def cell(name: str, n: int, shots: int) -> str:
        key = NAMES[name].format(n) + ("" if shots == 10 else f"_{shots}shot")
        if key not in ENTRIES:
            return ""
        paper = f" (paper {PAPERS[name][n]})" if shots == 10 else ""
        found = results.get(key)
        return ("not run" if found is None else f"{found['mean']:.3f} +- {found['ci95']:.3f}, {found['steps']} steps") + paper

    columns = [
        ("cavia", 10, "CAVIA, K = 10"),
        ("maml", 10, "MAML, K = 10"),
        ("cavia", 5, "CAVIA, K = 5"),
        ("maml", 5, "MAML, K = 5"),
    ]
    rows = [
        "Sinusoids, mean squared error after one inner step, over 600 tasks of 100 points",
        "(`python -m benchmarks.reproduction.reproduce sinusoid_cavia_5`): context parameters of",
        "CAVIA, extra inputs of MAML; the paper has 50,000 meta-steps.",
        "",
        "| numbers | " + " | ".join(title for _, _, title in columns) + " |",
        "|---|---|---|---|---|",
    ]
    rows += [f"| {n} | " + " | ".join(cell(name, n, shots) for name, shots, _ in columns) + " |" for n in NUMBERS]
    return "\n".join(rows) + "\n"


ENTRIES = {
    "sinusoid_maml": Entry("MAML, sinusoid K=10", sinusoid(qs.MAML, inner_lr=0.01), SHORT, "curves only"),
    "sinusoid_fomaml": Entry("FOMAML, sinusoid K=10", sinusoid(qs.FOMAML, inner_lr=0.01), SHORT, "curves only"),
    "sinusoid_reptile": Entry(
        "Reptile, sinusoid K=10",
        sinusoid(qs.Reptile, inner_lr=0.01, inner_steps=10, rule=SGD()),
        SHORT,
        "curves only",
    ),
    "sinusoid_joint": Entry(
        "Pre-trained control, sinusoid K=10", sinusoid(qs.JointTraining, inner_lr=0.01), SHORT, "curves only"
    ),
    **context_entries(),
}
