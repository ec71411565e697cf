"""Tasks spread over threads, one intra-op thread each: fastest for convolutions on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.learners.learner import Learner
from quickstudy.meta.executors.executor import Executor, differentiable_kernels, gathered
from quickstudy.meta.executors.loop import one_task
from quickstudy.meta.executors.workers import Workers
from quickstudy.meta.problem import Answer, Problem, task, tasks_of

T = TypeVar("T")


@checked
class Threads(Executor):
    """A loop over tasks, spread over several threads.

    Every call runs on a copy of its own, so the threads share the learner and only read it. They are started at the first use.

    A process forked after that has lost them, and starts its own. It has lost torch's threads too, and computes on one; for more,
    start it with `multiprocessing.get_context("spawn")`, or a DataLoader with `multiprocessing_context="spawn"`. A pickled
    executor takes no threads along. See the guide "Threads and processes".

    Args:
        threads: number of threads; None: as many as torch has intra-op threads.

    Examples:
        >>> from quickstudy.meta.executors import Threads
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> batch = tasks.train.sample(4)
        >>> (_, found), (_, want) = (qs.meta_gradient(learner, batch, executor=one) for one in (Threads(2), "loop"))
        >>> all(torch.allclose(found[name], want[name], atol=1e-6) for name in want)
        True
    """

    name = "threads"

    def __init__(self, threads: PositiveInt | None = None):
        self.threads = threads or torch.get_num_threads()
        self._workers = Workers(self.threads)

    def gradient(self, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        f, numbers = problem.function(), seeds.tolist()
        with differentiable_kernels(problem.learner):
            parts = self._each(lambda t: one_task(problem, f, task(episodes, t), numbers[t]), len(numbers))
        return gathered(parts)

    def map(self, function: Callable[[Learner, Any], Tensor], learner: Learner, episodes: Any) -> Tensor:
        with torch.no_grad():
            return torch.stack(self._each(lambda t: function(learner, task(episodes, t)), tasks_of(episodes)))

    def refusal(self, problem: Problem) -> str | None:
        if problem.device.type != "cpu":
            return "threads serve a CPU; launches from several threads do not overlap on one accelerator"
        return None

    def settings(self) -> dict[str, Any]:
        return {"threads": self.threads}

    def _each(self, function: Callable[[int], T], n: int) -> list[T]:
        state = _CallerState()

        def run(t: int) -> T:
            with state:
                return function(t)

        return self._workers.map(run, range(n))


class _CallerState:
    """Grad mode and autocast of the calling thread, which do not reach a worker by themselves."""

    def __init__(self) -> None:
        self.grad = torch.is_grad_enabled()
        self.autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        self._local = threading.local()

    def __enter__(self) -> None:
        enabled, dtype = self.autocast
        self._local.modes = torch.set_grad_enabled(self.grad), torch.autocast("cpu", dtype=dtype, enabled=enabled)
        for mode in self._local.modes:
            mode.__enter__()

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._local.modes):
            mode.__exit__(*error)
