"""Texts that are there twice, by `clean.key`; and what belongs together because a text or a translation is shared."""

from __future__ import annotations

from collections.abc import Sequence

from quickstudy.domains.text.clean import key
from quickstudy.tasks.sources import repeats as sources
from quickstudy.tasks.sources.repeats import Repeats as Repeats

SHOWN = 60


def without_repeats(
    texts: Sequence[str],
    labels: Sequence[str],
    repeats: Repeats = "refuse",
    groups: Sequence[str] | None = None,
    what: str = "class",
) -> list[int]:
    """The rows that stay, in their order: each text once. See `quickstudy.tasks.sources.repeats`.

    Args:
        texts, labels: of each row.
        repeats: of a text in two classes.
        groups: of each row; then a text may be in each of them. None: all rows are of one.
        what: a text's label, in messages.

    Raises:
        TaskError: a text in two classes, with repeats="refuse".
    """
    keys = [(group, key(text)) for group, text in zip(groups or [""] * len(texts), texts, strict=True)]
    return sources.without_repeats(keys, labels, lambda row: repr(texts[row][:SHOWN]), repeats, what=what)


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
