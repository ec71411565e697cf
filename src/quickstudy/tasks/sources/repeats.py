"""Examples that are there twice: one in support and query, or in two parts of a split, would make a score of memory.

one class, twice       the first stays                       DataWarning: how many were left out
two classes            refused: an example has one class     or all of it left out, by `repeats="leave out"`
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from quickstudy.errors import DataWarning, TaskError

Repeats = Literal["refuse", "leave out"]
PLURAL = {"class": "classes", "tagging": "taggings", "pair": "pairs"}


def without_repeats(
    keys: Sequence[Hashable],
    labels: Sequence[str],
    shown: Callable[[int], str],
    repeats: Repeats = "refuse",
    kind: str = "texts",
    what: str = "class",
) -> list[int]:
    """The rows that stay, in their order: each key once.

    Args:
        keys: of each row, by which two are the same.
        labels: of each row.
        shown: a row in a message.
        repeats: of a key in two classes.
        kind: what the rows are called, in messages.
        what: a row's label, in messages.

    Raises:
        TaskError: a key in two classes, with repeats="refuse".
    """
    first: dict[Hashable, int] = {}
    several: dict[Hashable, int] = {}
    kept = []
    for row, (name, label) in enumerate(zip(keys, labels, strict=True)):
        if name not in first:
            first[name] = row
            kept.append(row)
        elif labels[first[name]] != label:
            several.setdefault(name, row)
    if several and repeats == "refuse":
        row = next(iter(several.values()))
        before = first[keys[row]]
        raise TaskError(
            kind,
            expected=f"{kind} of one {what} each",
            got=f"{len(several)} of several, such as {shown(row)} in {labels[before]!r} and {labels[row]!r}",
            do="Mend their labels, or leave them out with repeats='leave out'.",
        )
    alone = [row for row in kept if keys[row] not in several]
    if len(alone) < len(keys):
        said = f"{len(keys) - len(alone)} of {len(keys)} {kind} were left out: they are there twice"
        said += f", {len(several)} of them in several {PLURAL[what]}" if several else ""
        warnings.warn(f"`{kind}`: {said}. What is learned from must not be asked about.", DataWarning, stacklevel=3)
    return alone
