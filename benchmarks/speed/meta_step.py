"""A whole meta-step of quickstudy, to be timed: the gradient over a batch of tasks, then a step of outer Adam."""

from __future__ import annotations

from collections.abc import Callable

import torch

import quickstudy as qs
from quickstudy.meta.executors import executor_named
from quickstudy.meta.problem import Problem

Step = Callable[[], tuple[float, list[torch.Tensor] | None]]


def meta_step(
    learner: qs.Learner, batch: qs.Episode, executor: str, precision: torch.dtype | None = None, pieces: int = 1
) -> Step:
    """step() -> (mean loss, gradients), on the device where learner and batch lie; the loss is read, so the step is over.

    Args:
        precision: of the forward passes, under autocast.
        pieces: the tasks are differentiated in so many equal pieces, one after another, where all at once do not fit.
    """
    problem = Problem(learner, qs.Backprop(), None, precision)
    run, outer = executor_named(executor, problem), qs.Gradient().start(dict(learner.named_parameters()))
    seeds = torch.zeros(len(batch), dtype=torch.int64, device=batch.query.y.device)
    size = len(batch) // pieces
    parts = [(batch[start : start + size], seeds[start : start + size]) for start in range(0, size * pieces, size)]

    def step() -> tuple[float, list[torch.Tensor] | None]:
        answers = [run.gradient(problem, *part) for part in parts]
        whole = answers[0]
        if pieces > 1:
            whole = whole._replace(
                gradient={name: sum(one.gradient[name] for one in answers) / pieces for name in whole.gradient}
            )
        gradients = list(whole.gradient.values())
        outer.step(whole, lambda: whole)
        return float(torch.cat([one.losses for one in answers]).mean()), gradients

    return step
