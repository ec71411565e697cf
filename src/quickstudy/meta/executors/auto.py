"""auto: measure the executors on the run's own first batch and keep the fastest whose gradients equal the loop's.

1. Each executor that does not refuse computes the gradient of two tasks in float64; one that differs from the loop is out.
2. The others are timed on the real batch.
3. `compiled` is tried only where its estimated compilation fits into the time that may be spent: 5 % of the planned run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from quickstudy.meta.executors.compiled import Compiled
from quickstudy.meta.executors.executor import Executor
from quickstudy.meta.executors.loop import Loop
from quickstudy.meta.executors.threads import Threads
from quickstudy.meta.executors.vmap import Vmap
from quickstudy.meta.problem import Problem, task, tasks_of

SHARE = 0.05  # of the planned run that the choice may cost
SECONDS_PER_OPERATION = 0.02  # of compilation, for each operator that the loop dispatches for one task; measured on 2 CPU cores
TOLERANCE = 1e-8  # of a gradient in float64, relative to the loop's largest entry


@dataclass
class Choice:
    """What was chosen, and why: one line a candidate."""

    executor: Executor
    why: str


Run = Callable[[Executor, Any, Tensor], Any]


def choose(problem: Problem, episodes: Any, seeds: Tensor, steps: int, run: Run | None = None) -> Choice:
    """The fastest executor for `steps` meta-steps on batches like `episodes`.

    Args:
        run: how a batch is sent through an executor (with the run's task chunks); plainly where not given.
    """
    send = run or (lambda executor, episodes, seeds: executor.gradient(problem, episodes, seeds))
    loop = Loop()
    operations = _Counter()
    with operations:
        loop.gradient(problem, task(episodes, slice(0, 1)), seeds[:1])
    times: dict[str, tuple[float, Executor]] = {"loop": (_seconds(lambda: send(loop, episodes, seeds), 0.0), loop)}
    patience = SHARE * times["loop"][0] * steps / 8  # seconds for timing each candidate
    reference = _in_float64(problem, loop, episodes, seeds)
    told = []
    for candidate in (Threads(), Vmap(), Compiled()):
        reason = candidate.refusal(problem)
        if reason is None and isinstance(candidate, Compiled):
            fastest = min(seconds for seconds, _ in times.values())
            estimate, allowed = 2 * SECONDS_PER_OPERATION * operations.count, SHARE * fastest * steps
            if estimate > allowed:
                reason = f"compilation would take about {estimate:.0f} s of the {allowed:.0f} s that may be spent on it"
        reason = reason or _difference(problem, candidate, episodes, seeds, reference)
        if reason is None:
            times[candidate.name] = _seconds(lambda: send(candidate, episodes, seeds), patience), candidate  # noqa: B023
        else:
            told.append(f"{candidate.name}: {reason}")
    name, (_, executor) = min(times.items(), key=lambda item: item[1][0])
    measured = ", ".join(f"{other} {1000 * seconds:.3g} ms" for other, (seconds, _) in times.items())
    return Choice(executor, "; ".join([f"{name} was fastest of {measured}", *told]))


def _seconds(function: Callable[[], Any], patience: float, most: int = 7) -> float:
    """The least seconds of a call, after one to warm up: what it takes when nothing else runs. At least two are timed."""
    function()
    taken: list[float] = []
    while len(taken) < 2 or (len(taken) < most and sum(taken) < patience):
        began = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken)


def difference_from_loop(problem: Problem, candidate: Executor, episodes: Any) -> str | None:
    """How the candidate's gradient of two tasks differs from the loop's in float64, or why it fails; None where it equals."""
    seeds = torch.zeros(tasks_of(episodes), dtype=torch.int64)
    return _difference(problem, candidate, episodes, seeds, _in_float64(problem, Loop(), episodes, seeds))


def _in_float64(problem: Problem, executor: Executor, episodes: Any, seeds: Tensor) -> dict[str, Tensor]:
    """The gradient of the first two tasks in float64."""
    double = copy.deepcopy(problem).double()
    double.precision = None
    n = min(2, tasks_of(episodes))
    few = pytree.tree_map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, task(episodes, slice(0, n)))
    return executor.gradient(double, few, seeds[:n]).gradient


def _difference(problem: Problem, candidate: Executor, episodes: Any, seeds: Tensor, want: dict[str, Tensor]) -> str | None:
    """How the candidate differs from the loop, or why it fails; None where it equals."""
    try:
        got = _in_float64(problem, candidate, episodes, seeds)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:  # torch has many words for 'not supported'
        return f"torch refuses: {str(error).strip().splitlines()[0][:120]}"
    scale = max((float(gradient.abs().max()) for gradient in want.values() if gradient.numel()), default=0.0)
    gap = max((float((want[name] - got[name]).abs().max()) for name in want if want[name].numel()), default=0.0)
    return None if gap <= TOLERANCE * max(scale, 1e-12) else f"its gradient differs from the loop's by {gap:.1e} in float64"


class _Counter(TorchDispatchMode):
    """Counts the operators that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))
