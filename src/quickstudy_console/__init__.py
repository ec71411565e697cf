"""The program `quickstudy`: what has to work before torch is imported, which takes seconds.

answered here       the usage, the version, the script for completion, a command that there is not
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
    from quickstudy_console.commands import COMMANDS, USAGE

    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if argv else 2
    if argv[0] == "--version":
        print(version())
        return 0
    if argv[0] == "completion":
        from quickstudy_console.completion import completion

        return completion(argv[1:])
    if argv[0] not in COMMANDS:
        from quickstudy_console.words import nearest, printable

        print(f"quickstudy: there is no command {printable(repr(argv[0]))}. {nearest(argv[0], COMMANDS)}", file=sys.stderr)
        print("`quickstudy --help` says what each does.", file=sys.stderr)
        return 2
    from quickstudy.cli import run

    return run(argv)


def version() -> str:
    """The version of the installed package; of the source, where it is used without having been installed."""
    from importlib import metadata

    try:
        return metadata.version("quickstudy")
    except metadata.PackageNotFoundError:
        from quickstudy import __version__

        return __version__


def hushed() -> None:
    """Send what is left for stdout nowhere, so that the interpreter does not complain of it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
