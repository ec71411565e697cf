"""The options of a command: read, and refused in our words, with the nearest option for one that does not exist."""

from __future__ import annotations

import re
from argparse import ArgumentError as FlagError
from collections.abc import Iterable

from jsonargparse import ArgumentParser, Namespace

from quickstudy.errors import ArgumentError, nearest


def command(name: str, description: str) -> ArgumentParser:
    """A parser of one command, for `read`."""
    return ArgumentParser(prog=f"quickstudy {name}", description=description, exit_on_error=False)


def read(made: ArgumentParser, argv: list[str]) -> Namespace:
    """The options of a command line.

    Raises:
        ArgumentError: an unknown option, a missing one, a value of a wrong type.
    """
    try:
        return made.parse_args(argv)
    except FlagError as error:
        raise explained(error, flags(made), made.prog.removeprefix("quickstudy "), f"`{made.prog} --help`") from error


def flags(made: ArgumentParser) -> list[str]:
    """The options of a parser: --episodes, --train.steps."""
    every = (flag for action in made._actions for flag in action.option_strings)
    return [one for one in every if one.startswith("--") and not one.endswith(".help") and one != "--print_shtab"]


def explained(error: FlagError, known: Iterable[str], argument: str, advice: str) -> ArgumentError:
    """jsonargparse's error as one of ours, in four parts."""
    text = " ".join(str(error).split())
    unknown = re.search(r"nrecognized arguments: (\S+)", text)
    if unknown is not None:
        flag = unknown[1].split("=")[0]
        option = flag.startswith("-")
        do = nearest(flag, known) if option else f"See {advice}."
        return ArgumentError(flag, expected="a known flag" if option else "no further word", got="one that is not", do=do)
    required = re.search(r"arguments are required: (.+)", text)
    if required is not None:
        return ArgumentError(argument, expected=required[1], got="none", do=f"See {advice}.")
    key = re.search(r'(?:key|argument) "?(?:--)?([\w.]+)"?', text)
    where = f"--{key[1]}" if key is not None else argument
    return ArgumentError(where, expected="a value of its type", got=text[:300], do=f"See {advice}.")


def whole(name: str, value: int, least: int = 1) -> None:
    """Raise ArgumentError for a number below `least`."""
    if value < least:
        raise ArgumentError(name, expected=f"a whole number of {least} or more", got=str(value), do="Give such a number.")
