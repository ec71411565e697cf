"""What a terminal may show."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text without control characters, which in the name of a file or a class could move the cursor, colour, or start a line."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
