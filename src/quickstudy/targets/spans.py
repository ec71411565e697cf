"""Spans that BIO tags mark, read as conlleval reads them (Tjong Kim Sang & Buchholz, CoNLL-2000).

    B-X            a span of type X begins
    I-X            the span before goes on, if its type is X; otherwise a span of type X begins
    O              no span
    F1             2 |true and predicted| / ( |true| + |predicted| ),      a span counts if type, begin and end agree

So ill-formed tags are read too: I-X behind O, at the beginning, or behind a span of another type begins one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"


class Span(NamedTuple):
    """The tokens first..last, both of it."""

    type: str
    first: int
    last: int


def is_bio(names: Sequence[str]) -> bool:
    """Whether every name is a BIO tag, and at least one begins a span."""
    return any(name != OUTSIDE for name in names) and all(
        name == OUTSIDE or name.split("-", 1)[0] in ("B", "I") for name in names
    )


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of one sentence.

    Examples:
        >>> from quickstudy.targets.spans import spans
        >>> sorted(spans(["B-date", "I-date", "O", "I-place"]))
        [Span(type='date', first=0, last=1), Span(type='place', first=3, last=3)]
    """
    found: set[Span] = set()
    kind, first = None, 0  # of the span that is open
    for place, tag in enumerate((*tags, OUTSIDE)):
        prefix, _, own = tag.partition("-")
        if prefix == "I" and own == kind:
            continue
        if kind is not None:
            found.add(Span(kind, first, place - 1))
        kind, first = None if tag == OUTSIDE else own, place
    return found
