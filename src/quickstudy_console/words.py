"""Words of the user: what may be shown of one, and the known word that an unknown one is nearest to."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """Text without control characters, which in the name of a file or a class could move the cursor, colour, or start a line."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """What `quickstudy.errors.nearest` says; it is not imported, because its package imports torch. A test compares the two."""
    import difflib

    known = list(known)
    close = difflib.get_close_matches(word, known, 1, 0.5)
    return f"Did you mean {close[0]!r}?" if close else "Known are " + ", ".join(known) + "."
