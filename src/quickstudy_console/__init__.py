"""The program `quickstudy`: what has to work before torch is imported, which takes seconds.

answered here       the usage, the script for completion
stopped quietly     Ctrl-C prints one line and ends with 130, during imports too; a reader that has gone (| head) ends it with 141
all else            `quickstudy.cli`
"""

from __future__ import annotations

import os
import sys

STOPPED, UNREAD = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells count


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        try:
            return answered(argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("quickstudy: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        hushed()
        return UNREAD


def answered(argv: list[str]) -> int:
    """Answer here where torch is not needed, else by `quickstudy.cli`."""
    from quickstudy_console.commands import USAGE

    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if argv else 2
    if argv[0] == "--version":
        from quickstudy import __version__

        print(__version__)
        return 0
    if argv[0] == "completion":
        from quickstudy_console.completion import completion

        return completion(argv[1:])
    from quickstudy.cli import run

    return run(argv)


def hushed() -> None:
    """Send what is left for stdout nowhere, so that the interpreter does not complain of it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
