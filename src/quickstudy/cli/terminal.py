"""What a terminal may show."""

from __future__ import annotations

import os
import sys

from quickstudy_console.words import printable as printable


def has_display() -> bool:
    """Whether somebody sits before this terminal, with a screen on which a browser can open."""
    if not sys.stdout.isatty():
        return False
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    return sys.platform in ("darwin", "win32") and "SSH_CONNECTION" not in os.environ
