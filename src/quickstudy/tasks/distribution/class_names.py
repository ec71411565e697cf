"""Class names: made from labels of any kind, sorted, and matched to lists that spell them slightly differently."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from quickstudy.errors import LabelError, TaskError
from quickstudy.tasks.construction.augmentation.derived_names import origins, unturned
from quickstudy.tasks.distribution.splits import Splits


def as_names(y: Any, argument: str = "y") -> list[str]:
    """Labels of any kind, (N,) or (N, 1), as class names: 3 and 3.0 are '3'.

    Raises:
        LabelError: labels that are missing (None, NaN) or fractional, or that have further axes.
    """
    if isinstance(y, Tensor):
        y = y.detach().cpu().numpy()
    values = np.asarray(y).tolist() if hasattr(y, "__array__") else list(y)
    return [
        _name(value[0] if isinstance(value, list) and len(value) == 1 else value, row, argument)
        for row, value in enumerate(values)
    ]


def in_order(names: Sequence[str]) -> list[str]:
    """The unique names, sorted: first numbers by value, then text alphabetically."""
    return sorted(
        dict.fromkeys(names), key=lambda name: (0, int(name), "") if re.fullmatch(r"-?[0-9]{1,18}", name) else (1, 0, name)
    )


def matched(names: Sequence[str], wanted: Splits, argument: str) -> Splits:
    """For each part of `wanted`, the class names that it refers to.

    A wanted name may be the name of a class; that of a class made from some (`Rotations`, Omniglot's lists, `SplitClasses`,
    `MergeClasses`), which stands for these; a superclass, which stands for all classes below it (FC100); or a name with a
    superclass that `names` leave out, or without the one they have (CIFAR-FS: 'fish/trout' and 'trout').

    Raises:
        TaskError: a wanted name that matches none of `names`, or several; a part without a class.
    """
    exact = set(names)
    by_end: dict[str, list[str]] = {}
    for name in names:
        by_end.setdefault(name.rpartition("/")[2], []).append(name)
    answer: Splits = {}
    for part, entries in wanted.items():
        found: dict[str, None] = {}
        for entry in entries:
            found.update(dict.fromkeys(_meant(entry, names, exact, by_end, part, argument)))
        if not found:
            raise TaskError(argument, expected="classes in every part", got=f"none in {part}", do="Name some.")
        answer[part] = list(found)
    return answer


def _meant(
    entry: str, names: Sequence[str], exact: set[str], by_end: dict[str, list[str]], part: str, argument: str
) -> list[str]:
    if made_from := origins(entry, exact):
        return made_from
    base = unturned(entry)
    if below := [name for name in names if name.startswith(base + "/")]:
        return below
    if "/" in base:
        last = base.rpartition("/")[2]
        meant = [last] if last in exact else []
    else:
        meant = by_end.get(base, [])
    if len(meant) == 1:
        return meant
    near = difflib.get_close_matches(entry, names, 1)
    raise TaskError(
        argument,
        expected=f"names of the {len(names)} classes there are ({', '.join(names[:4])}, ...)",
        got=f"{entry!r} in {part}" + (f", which could be {meant[0]!r} or {meant[1]!r}" if meant else ""),
        do=f"Check the spelling{f' ({near[0]!r} is there)' if near else ''}, or bring the class's data.",
    )


def _name(value: Any, row: int, argument: str) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or isinstance(value, float | list | dict | complex):
        missing = value is None or value != value
        raise LabelError(
            argument,
            expected="one label for each example: text or whole numbers",
            got=f"{'a missing one' if missing else repr(value)[:60]} at {argument}[{row}]",
            do="Leave such examples out, or name their class." if missing else "For targets to predict use from_groups.",
        )
    return str(value)
