"""Texts that are there twice: a sentence in support and query, or in two parts of a split, would make a score of memory.

one class, twice       the first stays                       DataWarning: how many were left out
two classes            refused: a text has one class         or all of it left out, by `repeats="leave out"`
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

from quickstudy.domains.text.clean import key
from quickstudy.errors import DataWarning, TaskError

Repeats = Literal["refuse", "leave out"]
SHOWN = 60


def without_repeats(texts: Sequence[str], labels: Sequence[str], repeats: Repeats = "refuse") -> list[int]:
    """The rows that stay, in their order: each text once, by `clean.key`.

    Args:
        texts, labels: of each row.
        repeats: of a text in two classes.

    Raises:
        TaskError: a text in two classes, with repeats="refuse".
    """
    first: dict[str, int] = {}
    several: dict[str, int] = {}
    kept = []
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        name = key(text)
        if name not in first:
            first[name] = row
            kept.append(row)
        elif labels[first[name]] != label:
            several.setdefault(name, row)
    if several and repeats == "refuse":
        row = next(iter(several.values()))
        before = first[key(texts[row])]
        raise TaskError(
            "texts",
            expected="texts of one class each",
            got=f"{len(several)} of several, such as {texts[row][:SHOWN]!r} in {labels[before]!r} and {labels[row]!r}",
            do="Mend their labels, or leave them out with repeats='leave out'.",
        )
    alone = [row for row in kept if key(texts[row]) not in several]
    if len(alone) < len(texts):
        said = f"{len(texts) - len(alone)} of {len(texts)} texts were left out: they are there twice"
        said += f", {len(several)} of them in several classes" if several else ""
        warnings.warn(f"`texts`: {said}. A text that is learned from must not be asked about.", DataWarning, stacklevel=3)
    return alone
