"""The command line: results to stdout, progress and logs to stderr; exit code 0 success, 1 negative answer, 2 error."""

from __future__ import annotations

import importlib
import sys

from quickstudy.cli.terminal import printable
from quickstudy.errors import QuickstudyError

COMMANDS = {
    "train": ("train", "meta-train a learner and save the run: quickstudy train maml --tasks omniglot --tasks.root FOLDER"),
    "resume": ("train", "go on with a run that was stopped or killed"),
    "evaluate": ("evaluate", "score a run on its meta-test tasks, with a 95 % interval"),
    "compare": ("evaluate", "score runs on the same tasks, with paired differences"),
    "predict": ("predict", "learn from a folder of images a class, and name the images of another folder"),
    "report": ("report", "write report.html of a run, with its controls on the same tasks"),
    "export": ("export", "adapt to a folder of images a class, and write a file that runs without quickstudy"),
    "list": ("listing", "the runs of a folder, and how they stand"),
    "explain": ("explain", "what a learner does: equation, source, the paper's number, defaults"),
    "doctor": ("doctor", "versions, devices, which executors work here, and a check of a meta-gradient"),
    "completion": ("completion", "a script for bash or zsh that completes commands, learners and options"),
    "demo": ("demo", "meta-train Prototypical and MAML on drawn characters and compare them with the controls"),
}
USAGE = (
    "usage: quickstudy COMMAND ...\n\ncommands:\n"
    + "\n".join(f"  {name:<12}{text}" for name, (_, text) in COMMANDS.items())
    + "\n\n`quickstudy COMMAND --help` lists the options of a command."
)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if argv else 2
    if argv[0] == "--version":
        from quickstudy import __version__

        print(__version__)
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        print(f"quickstudy: there is no command {command!r}\n\n{USAGE}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"quickstudy.cli.{COMMANDS[command][0]}")
    run = getattr(module, {"list": "list_runs", "export": "export_run"}.get(command, command))
    try:
        return run(rest)
    except QuickstudyError as error:
        print(f"quickstudy {command}: {printable(str(error))}", file=sys.stderr)
    except KeyboardInterrupt as stopped:
        print(f"quickstudy {command}: {stopped or 'stopped'}", file=sys.stderr)
    return 2
