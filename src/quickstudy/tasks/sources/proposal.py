"""What to ask for instead, with the numbers filled in, where the data are too few for the split and the sizes asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quickstudy.tasks.distribution.size import Size, largest

SHARES = (0.16, 0.2)  # of the classes, for meta-validation and meta-test
TOO_FEW = (
    "Bring more classes, adapt a learner that is trained already (quickstudy predict), or score one on these with part='test' "
    "(--tasks.part test)."
)


def proposal(
    counts: Sequence[int], parts: Sequence[int], ways: Size | None, shots: Size, queries: Size, command: bool = True
) -> str:
    """What works: as typed in Python and, with `command`, at the command line.

    Args:
        counts: examples of each class, or rows of each group.
        parts: how many classes each part of the asked split has; empty where it cannot be made.
        ways: classes of a task; None: tasks are of one group.
    """
    changes = _split(len(counts), parts, 1 if ways is None else largest(ways))
    sizes = _sizes(min(counts, default=0), largest(shots), largest(queries))
    if changes is None or (len(counts) < 3 and ways is None):
        return TOO_FEW if command else "Bring more: some train, some validate, some test."
    if sizes is None:
        return "Leave classes of a single example out."
    changes |= sizes
    typed = ", ".join(f"{name}={value}" for name, value in changes.items())
    flags = " ".join(f"--tasks.{name} {_shell(value)}" for name, value in changes.items())
    return f"Give {typed}{f' ({flags})' if command else ''}, or bring more data."


def _split(classes: int, parts: Sequence[int], ways: int) -> dict[str, Any] | None:
    """The split, or the ways, or both, with which each part has as many classes as a task; None where none can."""
    least = min(parts, default=0)
    if least >= ways:
        return {}
    if classes >= 3 * ways:
        return {"split": split_for(classes, ways)}
    if least >= 2:
        return {"ways": least}
    fewer = classes // 3
    return {"ways": fewer, "split": split_for(classes, fewer)} if fewer >= 2 else None


def split_for(classes: int, ways: int) -> tuple[int, int, int]:
    """Numbers of classes for the three parts, near the usual shares, none of them below `ways`; there are 3 ways or more."""
    validation = max(ways, min(round(SHARES[0] * classes), classes - 2 * ways))
    test = max(ways, min(round(SHARES[1] * classes), classes - ways - validation))
    return classes - validation - test, validation, test


def _sizes(smallest: int, shots: int, queries: int) -> dict[str, Any] | None:
    """The shots and queries that the smallest class can give; None where it cannot give one of each."""
    if smallest >= shots + queries:
        return {}
    if smallest > shots:
        return {"queries": smallest - shots}
    return {"shots": smallest - 1, "queries": 1} if smallest >= 2 else None


def _shell(value: Any) -> str:
    return f"'{value}'" if isinstance(value, tuple) else str(value)


def queries_for(counts: Mapping[str, int], shots: Size, most: int) -> int:
    """As many queries as the smallest class leaves, at most `most`."""
    return max(1, min(most, min(counts.values(), default=0) - largest(shots)))
