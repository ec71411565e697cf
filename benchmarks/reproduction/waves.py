"""Sinusoids: the mean squared error before adaptation and after 1, 5 and 10 steps, over 600 tasks. K = 10 where none is named.

CAVIA's table beside MAML with as many extra inputs: an inner step of rate 1.0 (MAML 0.1), 25 tasks a meta-step, 1-40-40-1 with
the extra numbers at its input, Adam of rate 0.001 times 0.9 every 5,000 meta-steps; scored on 100 points a task. In CAVIA the
extra numbers alone adapt, from 0; in MAML the whole network does.

Source: Zintgraf et al., "Fast Context Adaptation via Meta-Learning", ICML 2019, section 5.1 and table 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.reproduction.entry import EPISODES, SHORT, Entry, Result, Run, Trained, timed
from quickstudy.errors import NotFiniteError
from quickstudy.learners.descend import SGD
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.tasks import TaskDistribution

STEPS = (0, 1, 5, 10)
TRAIN: Any = {"tasks_per_step": 25, "executor": "vmap"}


def sinusoid(recipe: Callable[..., qs.Learner], network: Callable[[], torch.nn.Module] = qs.models.mlp, **arguments: Any) -> Run:
    """A learner that descends, 25 tasks a meta-step."""

    def run(seconds: float, seed: int) -> Result:
        tasks = qs.tasks.Sinusoid(shots=10, queries=10)

        def outer(steps: int) -> qs.Gradient | None:
            return qs.Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=0.1)) if recipe is qs.Reptile else None

        trained = timed(lambda steps: recipe(network(), **arguments), tasks, seconds, seed, outer=outer, **TRAIN)
        return scored(trained, tasks.test, seed)

    return run


def scored(trained: Trained, test: TaskDistribution, seed: int) -> Result:
    """The errors after each number of steps; the one after 1 is the entry's."""
    learner, run, a_step = trained
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
        "seconds_a_step": a_step,
        "validation": [[one["step"], one["validation"], one["validation_ci95"]] for one in run.history if "validation" in one],
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

        def make(steps: int) -> qs.Learner:
            network = qs.models.mlp(1 + n)
            if adapts_all:
                return qs.MAML(WithInputs(network, n) if n else network, inner_lr=0.1)
            return qs.CAVIA(qs.models.WithContext(network, size=n), inner_lr=1.0)

        def outer(steps: int) -> qs.Gradient:
            adam = partial(torch.optim.Adam, lr=1e-3, fused=True)
            return qs.Gradient(qs.Backprop(), adam, partial(torch.optim.lr_scheduler.StepLR, step_size=5000, gamma=0.9))

        trained = timed(make, tasks, seconds, seed, outer=outer, **TRAIN)
        return scored(trained, tasks.test.with_(queries=100), seed) | {"shots": shots, "numbers": n}

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


def tables(rows: Mapping[str, Any]) -> list[list[str]]:
    """CAVIA's table, and the error against inner steps; `rows` have `.records`, a run each, of which the first is shown."""
    return [context_table(rows), curves(rows)]


def context_table(rows: Mapping[str, Any]) -> list[str]:
    """Context parameters of CAVIA beside extra inputs of MAML."""

    def cell(name: str, n: int, shots: int) -> str:
        key = NAMES[name].format(n) + ("" if shots == 10 else f"_{shots}shot")
        if key not in ENTRIES:
            return ""
        paper = f" (paper {PAPERS[name][n]})" if shots == 10 else ""
        found = rows[key].records[0] if key in rows else None
        return ("not run yet" if found is None else f"{found['mean']:.3f} +- {found['ci95']:.3f}, {found['steps']} steps") + paper

    columns = {
        "CAVIA, K = 10": ("cavia", 10),
        "MAML, K = 10": ("maml", 10),
        "CAVIA, K = 5": ("cavia", 5),
        "MAML, K = 5": ("maml", 5),
    }
    lines = [f"| {n} | " + " | ".join(cell(name, n, shots) for name, shots in columns.values()) + " |" for n in NUMBERS]
    return [
        "## Sinusoids",
        "",
        "Mean squared error after one inner step over 600 tasks of 100 points: context parameters of CAVIA, extra inputs of",
        "MAML; the paper has 50,000 meta-steps.",
        "",
        "| numbers | " + " | ".join(columns) + " |",
        "|---|---|---|---|---|",
        *lines,
    ]


def curves(rows: Mapping[str, Any]) -> list[str]:
    """The error against inner steps."""
    lines = []
    for name, entry in ENTRIES.items():
        at = rows[name].records[0]["curve"] if name in rows else {}
        cells = [_error(at.get(str(steps))) for steps in STEPS]
        lines.append(f"| {entry.title} | " + " | ".join(cells) + " |")
    return [
        "Mean squared error over 600 tasks after inner steps:",
        "",
        "| learner | " + " | ".join(str(steps) for steps in STEPS) + " |",
        "|---|" + "---|" * len(STEPS),
        *lines,
    ]


def _error(at: dict[str, float | None] | None) -> str:
    if at is None:
        return "not run yet"
    return "diverges" if at["mean"] is None else f"{at['mean']:.3f} +- {at['ci95']:.2f}"


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
