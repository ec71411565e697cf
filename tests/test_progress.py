"""Progress: how far, how long still, by the steps or by a limit of time; on a terminal, in a notebook, and elsewhere."""

from __future__ import annotations

import sys
import types

import pytest

from quickstudy import progress
from quickstudy.progress import Bar, Lines, bar


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test moves."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_by_steps(clock):
    shown = Bar(200)
    clock[0] += 10
    shown(50, note="loss 0.1")
    assert (shown.fraction, shown.counted, shown.left) == (0.25, "50/200", "0:30 left")


def test_a_limit_of_time_that_ends_it_is_followed(clock):
    """26 of 100000 steps in 10 of 30 seconds: 20 seconds to go, not ten hours."""
    shown = Bar(100_000, seconds=30)
    clock[0] += 10
    shown(26)
    assert shown.fraction == pytest.approx(1 / 3)
    assert (shown.counted, shown.left) == ("26 steps, 0:10 of 0:30", "0:20 left")


def test_steps_that_end_before_the_limit_are_followed(clock):
    shown = Bar(100, seconds=3600)
    clock[0] += 10
    shown(50)
    assert (shown.fraction, shown.counted, shown.left) == (0.5, "50/100", "0:10 left")


def test_a_resumed_run_counts_only_its_own_pace(clock):
    shown = Bar(100, seconds=100)
    shown.begin(80, 60.0)
    assert (shown.counted, shown.left) == ("80/100", "0:40 left")  # by the limit: there is no pace yet
    clock[0] += 10
    shown(10)
    assert (shown.fraction, shown.left) == (0.9, "0:10 left")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.4, "0:09"), (283, "4:43"), (3750, "1:02:30")])
def test_clock(seconds, text):
    assert progress.clock(seconds) == text


def test_lines(clock, capsys):
    shown = Lines(3, "counting")
    shown(1, note="loss 1")
    assert capsys.readouterr().err == ""
    clock[0] += 11
    shown(1)
    shown.say("a line")
    shown(1)
    assert capsys.readouterr().err.splitlines() == ["counting: 2/3 loss 1", "counting: a line", "counting: 3/3 loss 1"]


def test_a_terminal(monkeypatch, capsys, clock):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with bar(100_000, "training", seconds=30.0) as shown:
        clock[0] += 10
        shown(26, note="loss 0.5")
        shown.say("about 0:30 to go")
    drawn = capsys.readouterr().err
    for text in ("training", "26 steps, 0:10 of 0:30", "0:20 left", "loss 0.5", "about 0:30 to go"):
        assert text in drawn


class ZMQInteractiveShell:
    """The shell of a notebook, by its name."""


class Handle:
    """What IPython's display returns."""

    def __init__(self, shown):
        self.drawn = [shown._repr_html_()]

    def update(self, shown):
        self.drawn.append(shown._repr_html_())


def test_a_notebook(monkeypatch, capsys, clock):
    handles = []
    display = types.SimpleNamespace(display=lambda shown, display_id: handles.append(Handle(shown)) or handles[-1])
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=ZMQInteractiveShell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    with bar(4, "training <b>", show=True) as shown:
        for _ in range(3):
            clock[0] += 1
            shown(1, note="loss 1")
        shown.say("about 0:01 to go")
    (handle,) = handles
    assert capsys.readouterr() == ("", "")
    assert 'value="0.7500"' in handle.drawn[-1]
    assert "<div>about 0:01 to go</div><div>training &lt;b&gt;" in handle.drawn[-1]
    assert "3/4 0:01 left loss 1" in handle.drawn[-1]
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    with bar(4, "training"):
        assert len(handles) == 1  # IPython in a terminal is none


def test_nothing_is_shown_where_nobody_asked(capsys):
    with bar(3, "counting", show=False) as shown:
        shown(3, note="x")
        shown.say("y")
    assert capsys.readouterr() == ("", "")
