"""What a terminal may show."""

from __future__ import annotations

import os
import sys


def printable(text: str) -> str:
    """Text without control characters, which in the name of a file or a class could move the cursor, colour, or start a line."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def has_display() -> bool:
    """Whether somebody sits before this terminal, with a screen on which a browser can open."""
    if not sys.stdout.isatty():
        return False
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    return sys.platform in ("darwin", "win32") and "SSH_CONNECTION" not in os.environ
