"""What a meta-step takes of one core, so that a budget in seconds is a number of them: neighbours take time, but no steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import quickstudy as qs
from quickstudy.tasks import TaskDistribution

TRIED, AT_LEAST = 8.0, 5  # seconds and meta-steps of the measurement


def seconds_a_step(
    learner: qs.Learner,
    train: TaskDistribution,
    *,
    clock: Callable[[], float] = time.process_time,
    **options: Any,
) -> float:
    """Seconds of the processor that a meta-step takes, by those of a throw-away learner.

    Args:
        learner: is trained by a few steps, and then of no use.
        options: of `meta_train`.
    """
    if not learner.meta_learns:
        return float("inf")
    qs.meta_train(learner, train, steps=1, **options)  # the first step is slower than the rest
    spent, steps = 0.0, 0
    while spent < TRIED or steps < AT_LEAST:
        began = clock()
        qs.meta_train(learner, train, steps=AT_LEAST, **options)
        spent, steps = spent + clock() - began, steps + AT_LEAST
    return spent / steps


def steps_within(seconds: float, learner: qs.Learner, train: TaskDistribution, **options: Any) -> int:
    """How many meta-steps fit into so many seconds of the processor, at least one."""
    return max(int(seconds / seconds_a_step(learner, train, **options)), 1)
