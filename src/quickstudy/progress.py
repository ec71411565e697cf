"""A progress bar on stderr for long work: drawn by rich on a terminal, elsewhere a line every 10 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Advance = Callable[..., None]
T = TypeVar("T")
WORTH_A_BAR = 2000  # items read from disk


@contextmanager
def bar(total: int, what: str, show: bool = True) -> Iterator[Advance]:
    """Show a bar inside this block; yields `advance(n=1, note="")`."""
    if not show:
        yield lambda n=1, note="": None
    elif sys.stderr.isatty():
        yield from _rich(total, what)
    else:
        yield from _lines(total, what)


def _rich(total: int, what: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        job = progress.add_task(what, total=total, note="")
        yield lambda n=1, note=None: progress.update(job, advance=n, **({} if note is None else {"note": note}))


def _lines(total: int, what: str, every: float = 10.0) -> Iterator[Advance]:
    done, spoken = 0, time.monotonic()

    def advance(n: int = 1, note: str | None = None) -> None:
        nonlocal done, spoken
        done += n
        if time.monotonic() - spoken >= every or done >= total:
            spoken = time.monotonic()
            sys.stderr.write(f"{what}: {done}/{total} {note or ''}\n")

    yield advance


def reading(items: Sequence[T], what: str) -> Iterator[T]:
    """Each of the items in turn, behind a progress bar where they are many."""
    with bar(len(items), f"reading {what}", len(items) >= WORTH_A_BAR) as advance:
        for item in items:
            yield item
            advance()
