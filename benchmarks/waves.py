"""Sinusoids, K = 10: the mean squared error before adaptation and after 1, 5 and 10 steps, over 600 tasks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import quickstudy as qs
from benchmarks.entry import EPISODES, SHORT, Entry, Result, Run

STEPS = (0, 1, 5, 10)


def sinusoid(recipe: Callable[..., qs.Learner], network: Callable[[], torch.nn.Module] = qs.models.mlp, **arguments: Any) -> Run:
    """A learner that descends, 25 tasks a meta-step."""

    def run(seconds: float, seed: int) -> Result:
        tasks = qs.tasks.Sinusoid(shots=10, queries=10)
        learner = recipe(network(), **arguments)
        is_reptile = recipe is qs.Reptile
        outer = qs.Gradient(qs.ReptileDirection(), partial(torch.optim.SGD, lr=0.1)) if is_reptile else None
        run = qs.meta_train(
            learner, tasks, steps=10**6, tasks_per_step=25, seconds=seconds, seed=seed, outer=outer, validate_every=2000
        )
        curve = {}
        for steps in STEPS:
            result = qs.evaluate(learner, tasks.test, EPISODES, seed, steps)
            curve[str(steps)] = {"mean": result.mean, "ci95": result.ci95}
        return {
            "mean": curve["1"]["mean"],
            "ci95": curve["1"]["ci95"],
            "unit": "mse",
            "curve": curve,
            "normalisation": "none",
            "transductive": False,
            "steps": len(run.history),
            "training_seconds": run.seconds,
            "executor": run.executor,
        }

    return run


ENTRIES = {
    "sinusoid_maml": Entry("MAML, sinusoid K=10", sinusoid(qs.MAML, inner_lr=0.01), SHORT, "curves only"),
    "sinusoid_fomaml": Entry("FOMAML, sinusoid K=10", sinusoid(qs.FOMAML, inner_lr=0.01), SHORT, "curves only"),
    "sinusoid_reptile": Entry(
        "Reptile, sinusoid K=10", sinusoid(qs.Reptile, inner_lr=0.01, inner_steps=10, rule=qs.SGD()), SHORT, "curves only"
    ),
    "sinusoid_joint": Entry(
        "Pre-trained control, sinusoid K=10", sinusoid(qs.JointTraining, inner_lr=0.01), SHORT, "curves only"
    ),
}
