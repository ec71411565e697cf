"""Jobs for processes that may die: a GPU fault poisons its process, and must not take the other learners' answers with it.

A worker reads one JSON job a line from its standard input and writes one JSON reply a line. Where it dies, the job that it had
is answered by None and the next job starts another one.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

GRACE = 10.0  # seconds that a job in hand may take beyond the time

Job = dict[str, Any]
Reply = dict[str, Any] | None


def replies(
    jobs: Sequence[Job], command: list[str], workers: int, until: float, spent: Callable[[dict[str, Any]], bool]
) -> Iterator[tuple[Job, Reply]]:
    """Each job with its reply, as they come, in `workers` processes of `command`; the jobs that were not reached are absent.

    Args:
        until: when no further job is begun, by `time.monotonic()`.
        spent: of a reply, whether the process that gave it is of no more use.
    """
    waiting, done = deque(jobs), queue.SimpleQueue[tuple[Job, Reply] | None]()
    running: set[subprocess.Popen[str]] = set()

    def serve() -> None:
        process = None
        try:
            while time.monotonic() < until:
                try:
                    job = waiting.popleft()
                except IndexError:
                    break
                if process is None:
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                    running.add(process)
                reply = _asked(process, job)
                if reply is None or spent(reply):
                    end(process)
                    process = None
                if reply is not None or time.monotonic() < until + GRACE:
                    done.put((job, reply))
        finally:
            if process is not None:
                end(process)
            done.put(None)

    def end(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()
        running.discard(process)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    clock = threading.Timer(max(until + GRACE - time.monotonic(), 0.0), lambda: [process.kill() for process in list(running)])
    clock.daemon = True
    clock.start()
    ended = 0
    while ended < workers:
        one = done.get()
        if one is None:
            ended += 1
        else:
            yield one
    clock.cancel()


def _asked(process: subprocess.Popen[str], job: Job) -> Reply:
    """The worker's reply, None where it died over the job."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (BrokenPipeError, ValueError):
        return None
    return json.loads(line) if line.endswith("\n") else None


def serve_jobs(answer: Callable[[Job], dict[str, Any]]) -> None:
    """The other side: answers each line of standard input. Whatever else is printed goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()
