"""Workers: threads of one process, started at their first use; a fork, a copy and a pickle leave them behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from quickstudy import forks

S = TypeVar("S")
T = TypeVar("T")

PATIENCE = 60  # seconds in which all threads of a pool must have started


class Workers:
    """`threads` threads of Python, each with one intra-op thread of torch.

    A forked child has none of its parent's threads, and a job for them would wait for ever: it starts its own.

    Examples:
        >>> from quickstudy.meta.executors.workers import Workers
        >>> Workers(2).map(lambda number: number**2, range(4))
        [0, 1, 4, 9]
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._generation = 0  # of the process that started them

    def map(self, function: Callable[[S], T], values: Iterable[S]) -> list[T]:
        """function(value) of each, in order."""
        return list(self._started().map(function, values))

    def __reduce__(self) -> tuple[Any, ...]:
        return Workers, (self.threads,)

    def _started(self) -> ThreadPoolExecutor:
        with forks.LOCK:
            if self._pool is None or self._generation != forks.generation():
                self._pool, self._generation = _start(self.threads), forks.generation()
            return self._pool


def _start(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads all run.

    A thread sets its number of intra-op threads for later ones too: all of them start here, and the caller's number is put back.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="quickstudy")
    outside, ready = torch.get_num_threads(), threading.Barrier(threads, timeout=PATIENCE)

    def begin(_: int) -> None:
        torch.set_num_threads(1)
        ready.wait()

    try:
        list(pool.map(begin, range(threads)))
    finally:
        torch.set_num_threads(outside)
    return pool
