"""Progress of long work: a bar on a terminal (by rich) and in a notebook, elsewhere a line on stderr every 10 seconds.

work that `seconds` limits is as far as its time where that is further than its steps: 26 steps, 0:12 of 0:30
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, TypeVar

T = TypeVar("T")
WORTH_A_BAR = 2000  # items read from disk
EVERY, REDRAWN = 10.0, 0.5  # seconds between two lines; between two drawings in a notebook


class Bar:
    """How far some work is. This one shows nothing; the others draw it.

    Args:
        total: its steps.
        seconds: its limit of wall time, if it has one.

    Examples:
        >>> from quickstudy.progress import Bar
        >>> bar = Bar(total=100)
        >>> bar(26, note="loss 0.5")
        >>> bar.fraction, bar.counted
        (0.26, '26/100')
    """

    def __init__(self, total: int, what: str = "", seconds: float | None = None):
        self.total, self.what, self.seconds = total, what, seconds
        self.done, self.note = 0, ""
        self._before, self._began = (0, 0.0), time.monotonic()

    def __call__(self, n: int = 1, note: str | None = None) -> None:
        """n steps more are done."""
        self.done += n
        self.note = self.note if note is None else note
        self.draw()

    def begin(self, done: int, seconds: float) -> None:
        """The work begins now, or goes on after `done` steps that took `seconds`."""
        self.done, self._before, self._began = done, (done, seconds), time.monotonic()
        self.draw()

    def say(self, text: str) -> None:
        """A line that stays."""

    def draw(self) -> None:
        """Show how far it is."""

    @property
    def elapsed(self) -> float:
        """Seconds of the work, including those before it went on."""
        return self._before[1] + time.monotonic() - self._began

    @property
    def by_time(self) -> bool:
        """Whether the limit of time is what it is nearest to."""
        return self.seconds is not None and self.elapsed / self.seconds > self.done / max(self.total, 1)

    @property
    def fraction(self) -> float:
        """Done, of 1."""
        by_steps = self.done / max(self.total, 1)
        return min(1.0, by_steps if self.seconds is None else max(by_steps, self.elapsed / self.seconds))

    @property
    def counted(self) -> str:
        """As in "26/100", or where time ends the work "26 steps, 0:12 of 0:30"."""
        if self.seconds is not None and self.by_time:
            return f"{self.done} steps, {clock(min(self.elapsed, self.seconds))} of {clock(self.seconds)}"
        return f"{self.done}/{self.total}"

    @property
    def left(self) -> str:
        """The time to go, at the pace so far; empty where there is none yet."""
        done = self.done - self._before[0]
        by_steps = (time.monotonic() - self._began) / done * (self.total - self.done) if done else None
        by_limit = None if self.seconds is None else max(0.0, self.seconds - self.elapsed)
        found = [one for one in (by_steps, by_limit) if one is not None]
        return f"{clock(min(found))} left" if found and self.fraction < 1 else ""


class Lines(Bar):
    """A line on stderr every 10 seconds, and at the end."""

    def __init__(self, total: int, what: str = "", seconds: float | None = None):
        super().__init__(total, what, seconds)
        self._spoken = time.monotonic()

    def say(self, text: str) -> None:
        sys.stderr.write(f"{self.what}: {text}\n")

    def draw(self) -> None:
        if time.monotonic() - self._spoken >= EVERY or (self.done >= self.total > self._before[0]):
            self._spoken = time.monotonic()
            self.say(" ".join(filter(None, (self.counted, self.note))))


class Terminal(Bar):
    """A bar of rich, which `progress` draws."""

    def __init__(self, progress: Any, total: int, what: str = "", seconds: float | None = None):
        super().__init__(total, what, seconds)
        self.progress = progress
        self.job = progress.add_task(what, total=1.0, counted=self.counted, left="", note="")

    def say(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, markup=False)

    def draw(self) -> None:
        shown = {"counted": self.counted, "left": self.left, "note": self.note}
        self.progress.update(self.job, completed=self.fraction, **shown)


class Notebook(Bar):
    """A bar in a cell's output, which `display` of IPython shows and updates."""

    def __init__(self, display: Any, total: int, what: str = "", seconds: float | None = None):
        super().__init__(total, what, seconds)
        self.lines: list[str] = []
        self._drawn = time.monotonic()
        self.handle = display(self, display_id=True)

    def say(self, text: str) -> None:
        self.lines.append(text)
        self.handle.update(self)

    def draw(self) -> None:
        if time.monotonic() - self._drawn >= REDRAWN or self.done >= self.total:
            self._drawn = time.monotonic()
            self.handle.update(self)

    def __repr__(self) -> str:
        return " ".join(filter(None, (f"{self.what}: {self.counted}", self.left, self.note)))

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{escape(line)}</div>" for line in self.lines)
        words = escape(" ".join(filter(None, (self.counted, self.left, self.note))))
        return f'{lines}<div>{escape(self.what)} <progress value="{self.fraction:.4f}" max="1"></progress> {words}</div>'


@contextmanager
def bar(total: int, what: str, show: bool = True, seconds: float | None = None) -> Iterator[Bar]:
    """Show a bar inside this block; yields it: `advance(n=1, note="")`. `seconds`: the limit of wall time, if there is one."""
    display = _notebook() if show else None
    if not show:
        yield Bar(total, what, seconds)
    elif display is not None:
        shown = Notebook(display, total, what, seconds)
        yield shown
        shown.handle.update(shown)
    elif sys.stderr.isatty():
        yield from _rich(total, what, seconds)
    else:
        yield Lines(total, what, seconds)


def _rich(total: int, what: str, seconds: float | None) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    words = (TextColumn(f"{{task.fields[{name}]}}") for name in ("counted", "left", "note"))
    with Progress(TextColumn("{task.description}"), BarColumn(), *words, console=Console(stderr=True)) as progress:
        yield Terminal(progress, total, what, seconds)


def _notebook() -> Any:
    """The function `display` of the notebook that this runs in; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return ipython.display.display if ipython is not None and type(shell).__name__ == "ZMQInteractiveShell" else None


def reading(items: Sequence[T], what: str) -> Iterator[T]:
    """Each of the items in turn, behind a progress bar where they are many."""
    with bar(len(items), f"reading {what}", len(items) >= WORTH_A_BAR) as advance:
        for item in items:
            yield item
            advance()


def clock(seconds: float) -> str:
    """As in 0:09, 4:43 and 1:02:30."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
