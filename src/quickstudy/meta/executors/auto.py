"""auto: measure the executors on the run's own first batch and keep the fastest whose gradients equal the loop's.

1. Each executor that does not refuse is timed on the real batch.
2. From the fastest on: the gradient of two tasks in float64 must equal the loop's, else the next is taken
   (threads run the loop's own function, task by task, and need no such check).
3. `compiled` is tried only where its estimated compilation fits into the time that may be spent: 5 % of the planned run.

For a single gradient, `choose_for_one` only times one task in the loop.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from quickstudy.buckets import pieces
from quickstudy.meta.executors.compiled import Compiled
from quickstudy.meta.executors.executor import Executor
from quickstudy.meta.executors.loop import Loop
from quickstudy.meta.executors.threads import Threads
from quickstudy.meta.executors.vmap import Vmap
from quickstudy.meta.problem import Problem, task, tasks_of

SHARE = 0.05  # of the planned run's time that the choice may take
LEAST = 0.5  # minimum time budget for the choice, in seconds
SECONDS_PER_OPERATION = 0.02  # of compilation, for each operator that the loop dispatches for one task: a rough guess
CHECKED = 8  # least tasks of a single gradient for which vmap is worth its comparison with the loop, which costs about six
TOLERANCE = 1e-8  # of a gradient in float64, relative to the loop's largest entry
ROUGH = 1e-3  # the same where float64 fails

REFUSALS = (RuntimeError, NotImplementedError, TypeError, ValueError)  # torch's errors for 'not supported'


@dataclass
class Chosen:
    """What was chosen, and why: one line a candidate."""

    executor: Executor
    why: str


Send = Callable[[Executor, Any, Tensor], Any]


def choose(
    problem: Problem, episodes: Any, seeds: Tensor, steps: int, seconds: float | None = None, send: Send | None = None
) -> Chosen:
    """The fastest executor for `steps` meta-steps on batches like `episodes`.

    Args:
        seconds: the run's limit of wall time, where it has one.
        send: how a batch is sent through an executor (with the run's task chunks); plainly where not given.
    """
    through: Send = send or (lambda executor, episodes, seeds: executor.gradient(problem, episodes, seeds))
    loop, operations = Loop(), _Counter()
    with operations:
        loop.gradient(problem, task(episodes, slice(0, 1)), seeds[:1])
    times: dict[str, tuple[float, Executor]] = {"loop": (_seconds(lambda: through(loop, episodes, seeds), 0.0, most=1), loop)}

    def planned(a_step: float) -> float:
        return min(a_step * steps, seconds or float("inf"))

    allowance = max(SHARE * planned(times["loop"][0]), LEAST)
    told, began = [], time.perf_counter()
    for candidate in (*_likely(problem), Compiled()):
        reason = candidate.refusal(problem)
        if reason is None and times.keys() != {"loop"} and time.perf_counter() - began > allowance:
            reason = f"not tried, since the choice has had its {allowance:.1f} s"
        if reason is None and isinstance(candidate, Compiled):
            fastest = min(seconds for seconds, _ in times.values())
            estimate, allowed = 2 * SECONDS_PER_OPERATION * operations.count, SHARE * planned(fastest)
            if estimate > allowed:
                reason = f"compilation would take about {estimate:.0f} s of the {allowed:.0f} s that may be spent on it"
        try:
            if reason is None:
                times[candidate.name] = _seconds(lambda: through(candidate, episodes, seeds), allowance / 8), candidate  # noqa: B023
        except REFUSALS as error:
            reason = _refused(error)
        if reason is not None:
            told.append(f"{candidate.name}: {reason}")
    measured = ", ".join(f"{name} {1000 * seconds:.3g} ms" for name, (seconds, _) in times.items())
    for name, (_, executor) in sorted(times.items(), key=lambda item: item[1][0]):
        if isinstance(executor, Loop | Threads):  # threads call the loop's own function for each task
            break
        reason = difference_from_loop(problem, executor, episodes, seeds)
        if reason is None:
            break
        told.append(f"{name}: {reason}")
    return Chosen(executor, "; ".join([f"{name} is the fastest of {measured}", *told]))


def choose_for_one(problem: Problem, episodes: Any, seeds: Tensor) -> Chosen:
    """The executor for a single gradient: the loop where that takes no time, else by rule.

    Threads for convolutions on a CPU; otherwise vmap, if its gradient of two tasks equals the loop's.
    """
    if not problem.estimator.differentiates:
        return choose_by_values(problem, episodes, seeds, 1)
    n, loop = tasks_of(episodes), Loop()
    one = task(episodes, slice(0, 1))
    seconds = n * _seconds(lambda: loop.gradient(problem, one, seeds[:1]), 0.0, most=1) if n > 1 else 0.0
    if seconds < LEAST:
        return Chosen(loop, f"the loop takes about {1000 * seconds:.3g} ms for these {n} tasks")
    told: list[str] = []
    for candidate in _likely(problem):
        reason = candidate.refusal(problem)
        if reason is None and isinstance(candidate, Vmap):
            reason = difference_from_loop(problem, candidate, episodes, seeds) if n >= CHECKED else f"{n} tasks are too few"
        if reason is None:
            return Chosen(candidate, "; ".join([f"{candidate.name} by rule, the loop takes about {seconds:.1f} s", *told]))
        told.append(f"{candidate.name}: {reason}")
    return Chosen(loop, "; ".join(["no other serves", *told]))


def choose_by_values(
    problem: Problem, episodes: Any, seeds: Tensor, steps: int, seconds: float | None = None, send: Send | None = None
) -> Chosen:
    """The faster of vmap and loop for an estimator that needs values only, whose losses equal the loop's."""

    def losses_of(executor: Executor) -> Tensor:
        """Losses under a few members of the population: who is faster on them is on all."""
        if send is not None and hasattr(episodes, "carry"):
            return send(executor, episodes, seeds).losses
        members = {name: value.detach().expand(4, *value.shape) for name, value in problem.phi().items()}
        return executor.values(problem, members, episodes, seeds).loss

    times: dict[str, tuple[float, Executor]] = {}
    told: list[str] = []
    want: Tensor | None = None
    for candidate in (Loop(), Vmap()):
        reason = candidate.refusal(problem)
        if reason is None:
            try:
                losses = losses_of(candidate)
                if want is not None and not torch.allclose(losses, want, rtol=ROUGH, atol=ROUGH, equal_nan=True):
                    reason = "its losses differ from the loop's"
                want = losses if want is None else want
                if reason is None:
                    times[candidate.name] = _seconds(lambda: losses_of(candidate), 0.0, most=1), candidate  # noqa: B023
            except REFUSALS as error:
                reason = _refused(error)
        if reason is not None:
            told.append(f"{candidate.name}: {reason}")
    name = min(times, key=lambda name: times[name][0])
    measured = ", ".join(f"{name} {1000 * seconds:.3g} ms" for name, (seconds, _) in times.items())
    return Chosen(times[name][1], "; ".join([f"{name} is the fastest of {measured}", *told]))


def _likely(problem: Problem) -> list[Executor]:
    """The candidates, usually fastest first."""
    convolves = any(isinstance(module, nn.modules.conv._ConvNd) for module in problem.learner.modules())
    threads = [Threads()] if torch.get_num_threads() > 1 else []
    return [*threads, Vmap()] if convolves else [Vmap(), *threads]


def _seconds(function: Callable[[], Any], patience: float, most: int = 7) -> float:
    """The minimum time of a call in seconds, after a warm-up call."""
    function()
    taken: list[float] = []
    while len(taken) < min(2, most) or (len(taken) < most and sum(taken) < patience):
        began = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken)


def difference_from_loop(problem: Problem, candidate: Executor, episodes: Any, seeds: Tensor | None = None) -> str | None:
    """How the candidate's gradient of two tasks of each family differs from the loop's in float64, or why it fails; None if
    they are equal.

    A learner that cannot run in float64 (one that writes `.float()`) is compared in its own precision, to 1e-3.
    """
    seeds = torch.zeros(tasks_of(episodes), dtype=torch.int64) if seeds is None else seeds
    for part, where in pieces(episodes, tasks_of(episodes)):
        few = task(part, slice(0, min(2, tasks_of(part))))
        if (found := _difference(problem, candidate, few, seeds[where][: tasks_of(few)])) is not None:
            return found
    return None


def _difference(problem: Problem, candidate: Executor, few: Any, seeds: Tensor) -> str | None:
    """The same of a few tasks of one structure."""
    double = Problem(copy.deepcopy(problem.learner).double(), problem.estimator, problem.criterion)
    wide = pytree.tree_map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, few)
    tolerance, wanted = TOLERANCE, "in float64"
    try:
        want = Loop().gradient(double, wide, seeds).gradient
    except REFUSALS:
        double, wide, tolerance, wanted = problem, few, ROUGH, "in the learner's own precision, since float64 fails"
        want = Loop().gradient(double, wide, seeds).gradient
    try:
        got = candidate.gradient(double, wide, seeds).gradient
    except REFUSALS as error:
        return _refused(error)
    scale = max((float(gradient.abs().max()) for gradient in want.values() if gradient.numel()), default=0.0)
    gap = max((float((want[name] - got[name]).abs().max()) for name in want if want[name].numel()), default=0.0)
    return None if gap <= tolerance * max(scale, 1e-12) else f"its gradient differs from the loop's by {gap:.1e} {wanted}"


def _refused(error: Exception) -> str:
    return f"torch refuses: {str(error).strip().splitlines()[0][:120]}"


class _Counter(TorchDispatchMode):
    """Counts the operators that are dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))
