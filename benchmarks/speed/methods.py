"""Every method on 5-way 1-shot tasks of drawn characters: python -m benchmarks.speed.methods NAME, each in a fresh process.

Prints one JSON record: milliseconds, and peak megabytes of tensors, of a meta-step of 4 tasks (5 queries) and of one adaptation
on one core.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

import quickstudy as qs
from benchmarks.reproduction.few_shot_method import Setting
from benchmarks.reproduction.omniglot import CONTROLS, METHODS
from quickstudy.errors import UnsupportedError

TASKS, ROUNDS = 4, 5


def measure(name: str) -> dict[str, float | str]:
    """Meta-step and adaptation of a method."""
    torch.manual_seed(0)
    learner = (METHODS | CONTROLS)[name].build(Setting(5, 1, 1000))
    tasks = qs.tasks.Strokes(ways=5, shots=1, queries=5, classes=(40, 10, 10), seed=0)
    learner.prepare(tasks.train)
    record: dict[str, float | str] = {}
    if learner.meta_learns:
        episodes = tasks.train.sample(TASKS, generator=torch.Generator().manual_seed(0))
        for executor in ("threads", "loop"):
            refused = False
            try:
                qs.meta_gradient(learner, episodes, executor=executor)
            except UnsupportedError:
                refused = True
            if not refused:
                break
        record["executor"] = executor
        record |= prefixed("step", lambda: qs.meta_gradient(learner, episodes, executor=executor))
    torch.set_num_threads(1)
    support = tasks.test.sample(1, generator=torch.Generator().manual_seed(1)).map(lambda leaf: leaf[0]).support
    return record | prefixed("adapt", lambda: learner.adapt(support))


def prefixed(name: str, act: Callable[[], object]) -> dict[str, float | str]:
    """Median milliseconds of ROUNDS, and the peak of the tensors that live at once beyond those before, in megabytes."""
    act()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return {f"{name}_ms": statistics.median(taken), f"{name}_mb": allocated(act)}


def allocated(act: Callable[[], object]) -> float:
    """Peak megabytes of tensors, from the allocator's own account of one call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        act()
    assert seen.profiler is not None
    results = seen.profiler.kineto_results
    assert results is not None
    steps = sorted((event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]")
    now = highest = 0
    for _, change in steps:
        now += change
        highest = max(highest, now)
    return highest / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
