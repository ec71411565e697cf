"""The command line: results to stdout, progress and logs to stderr.

exit code   0 success, 1 negative answer, 2 error, 130 stopped by Ctrl-C, 141 nobody reads the output any more
"""

from __future__ import annotations

import importlib
import sys

from quickstudy.errors import QuickstudyError
from quickstudy_console import STOPPED
from quickstudy_console import main as main
from quickstudy_console.commands import COMMANDS as COMMANDS
from quickstudy_console.commands import USAGE as USAGE
from quickstudy_console.words import printable

FUNCTIONS = {"list": "list_runs", "export": "export_run", "pretrained": "list_pretrained"}  # the others are called as the command


def run(argv: list[str]) -> int:
    """Run one of `COMMANDS`; returns the exit code. The console has refused every other word."""
    command, rest = argv[0], argv[1:]
    module = importlib.import_module(f"quickstudy.cli.{COMMANDS[command][0]}")
    function = getattr(module, FUNCTIONS.get(command, command))
    try:
        return function(rest)
    except QuickstudyError as error:
        print(f"quickstudy {command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        print(f"quickstudy {command}: {printable(str(stopped)) or 'stopped'}", file=sys.stderr)
        return STOPPED
