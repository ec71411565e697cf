"""The command line: results to stdout, progress and logs to stderr.

exit code   0 success, 1 negative answer, 2 error, 130 stopped by Ctrl-C, 141 nobody reads the output any more
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quickstudy.errors import DataWarning, QuickstudyError
from quickstudy_console import STOPPED
from quickstudy_console import main as main
from quickstudy_console.commands import COMMANDS as COMMANDS
from quickstudy_console.commands import USAGE as USAGE
from quickstudy_console.words import printable

FUNCTIONS = {"list": "list_runs", "export": "export_run", "pretrained": "list_pretrained"}  # the others are called as the command


@contextmanager
def plainly_warned() -> Iterator[None]:
    """Our own warnings as a line on stderr, without the line of code that asked for them."""
    shown = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        if issubclass(category, DataWarning):
            print(printable(f"quickstudy: warning: {message}"), file=sys.stderr)
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


def run(argv: list[str]) -> int:
    """Run one of `COMMANDS`; returns the exit code. The console has refused every other word."""
    command, rest = argv[0], argv[1:]
    module = importlib.import_module(f"quickstudy.cli.{COMMANDS[command][0]}")
    function = getattr(module, FUNCTIONS.get(command, command))
    try:
        with plainly_warned():
            return function(rest)
    except QuickstudyError as error:
        print(f"quickstudy {command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"quickstudy {command}: {printable(str(stopped)) or 'stopped'}", file=sys.stderr)
        return STOPPED
