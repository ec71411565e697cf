"""The command line: results to stdout, progress to stderr; exit code 0 it worked, 2 it broke."""

from __future__ import annotations

import sys

from quickstudy.errors import QuickstudyError

USAGE = """usage: quickstudy COMMAND ...

commands:
  train LEARNER    meta-train a learner and save the run: quickstudy train maml --tasks omniglot --tasks.root FOLDER
  evaluate RUN     score a run on its meta-test tasks, with a 95 % interval
  demo             meta-train Prototypical and MAML on drawn characters and compare them with the controls

`quickstudy COMMAND --help` lists the options of a command."""


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
    try:
        if command == "train":
            from quickstudy.cli.train import train

            return train(rest)
        if command == "evaluate":
            from quickstudy.cli.evaluate import evaluate

            return evaluate(rest)
        if command == "demo":
            from quickstudy.cli.demo import demo

            return demo(rest)
    except QuickstudyError as error:
        print(f"quickstudy {command}: {error}", file=sys.stderr)
        return 2
    print(f"quickstudy: there is no command {command!r}\n\n{USAGE}", file=sys.stderr)
    return 2
