"""Executors: the same gradients, faster. `loop` is the reference of them all."""

from __future__ import annotations

from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.meta.executors.compiled import Compiled as Compiled
from quickstudy.meta.executors.executor import Executor as Executor
from quickstudy.meta.executors.loop import Loop as Loop
from quickstudy.meta.executors.threads import Threads as Threads
from quickstudy.meta.executors.vmap import Vmap as Vmap
from quickstudy.meta.problem import Problem

EXECUTORS: dict[str, type[Executor]] = {"loop": Loop, "threads": Threads, "vmap": Vmap, "compiled": Compiled}


def executor_named(executor: str | Executor, problem: Problem) -> Executor:
    """The executor itself, or a new one of this name, checked to serve the problem. "auto" is not among them: see `auto`.

    Raises:
        ArgumentError: there is no such executor.
        UnsupportedError: it cannot serve this learner.
    """
    if isinstance(executor, str) and executor in EXECUTORS:
        executor = EXECUTORS[executor]()
    if not isinstance(executor, Executor):
        raise ArgumentError(
            "executor",
            expected="one of " + ", ".join(repr(name) for name in (*EXECUTORS, "auto")),
            got=repr(executor),
            do="'auto' takes a fast one whose gradients equal the loop's; one with arguments is an object, Threads(4).",
        )
    reason = executor.refusal(problem)
    if reason is not None:
        raise UnsupportedError(
            "executor", expected="one that serves this learner", got=f"{executor.name!r}: {reason}", do="Use executor='loop'."
        )
    return executor
