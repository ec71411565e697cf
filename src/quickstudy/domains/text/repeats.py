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
PLURAL = {"class": "classes", "tagging": "taggings", "pair": "pairs"}


def without_repeats(
    texts: Sequence[str],
    labels: Sequence[str],
    repeats: Repeats = "refuse",
    groups: Sequence[str] | None = None,
    what: str = "class",
) -> list[int]:
    """The rows that stay, in their order: each text once, by `clean.key`.

    Args:
        texts, labels: of each row.
        repeats: of a text in two classes.
        groups: of each row; then a text may be in each of them. None: all rows are of one.
        what: a text's label, in messages.

    Raises:
        TaskError: a text in two classes, with repeats="refuse".
    """
    names = [(group, key(text)) for group, text in zip(groups or [""] * len(texts), texts, strict=True)]
    first: dict[tuple[str, str], int] = {}
    several: dict[tuple[str, str], int] = {}
    kept = []
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        if name not in first:
            first[name] = row
            kept.append(row)
        elif labels[first[name]] != label:
            several.setdefault(name, row)
    if several and repeats == "refuse":
        row = next(iter(several.values()))
        before = first[names[row]]
        raise TaskError(
            "texts",
            expected=f"texts of one {what} each",
            got=f"{len(several)} of several, such as {texts[row][:SHOWN]!r} in {labels[before]!r} and {labels[row]!r}",
            do="Mend their labels, or leave them out with repeats='leave out'.",
        )
    alone = [row for row in kept if names[row] not in several]
    if len(alone) < len(texts):
        said = f"{len(texts) - len(alone)} of {len(texts)} texts were left out: they are there twice"
        said += f", {len(several)} of them in several {PLURAL[what]}" if several else ""
        warnings.warn(f"`texts`: {said}. A text that is learned from must not be asked about.", DataWarning, stacklevel=3)
    return alone


def in_units(texts: Sequence[str], translations: Sequence[str]) -> list[int]:
    """The unit of each row: rows that share a text or a translation are of one, and so are those that third ones connect.

    Examples:
        >>> from quickstudy.domains.text.repeats import in_units
        >>> in_units(["hello", "hallo", "Hallo", "bye"], ["1", "1", "2", "3"])  # the second and third are one text
        [0, 0, 0, 3]
    """
    parent = list(range(len(texts)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (text, translation) in enumerate(zip(texts, translations, strict=True)):
        for name in (("text", key(text)), ("translation", translation)):
            one, other = sorted((root(first.setdefault(name, row)), root(row)))
            parent[other] = one
    return [root(row) for row in range(len(texts))]
