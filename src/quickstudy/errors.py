"""The errors of quickstudy: one small tree, sorted by meaning; every message has four parts.

    `argument`: expected ..., got .... What to do.

The argument is spelled as the user typed it. Each class also inherits from the matching builtin, so `except ValueError` works.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class QuickstudyError(Exception):
    """The base class of all errors. `argument`, `expected`, `got` and `do` are kept as attributes."""

    def __init__(self, argument: str, *, expected: str, got: str, do: str):
        self.argument, self.expected, self.got, self.do = argument, expected, got, do
        super().__init__(f"`{argument}`: expected {expected}, got {got}. {do}")

    def __reduce__(self) -> tuple[Any, ...]:
        """An error comes back from another process as it was raised there."""
        return restored, (type(self), self.args, self.__dict__)


class ArgumentError(QuickstudyError, ValueError):
    """A value that an argument cannot take."""


class ShapeError(QuickstudyError, ValueError):
    """Tensors whose shapes do not fit together."""


class LabelError(QuickstudyError, ValueError):
    """Labels that are not the integers 0..ways-1."""


class TaskError(QuickstudyError, ValueError):
    """A task distribution that cannot give the episodes asked for: too few classes, too few examples, a leak between splits."""


class DataError(QuickstudyError, OSError):
    """Data on disk that are missing, cut short or not what they claim to be."""


class NotFiniteError(QuickstudyError, FloatingPointError):
    """NaN or infinity, in the inputs, in an inner loop or in a meta-gradient."""


class ConvergenceError(QuickstudyError, RuntimeError):
    """A solver that missed its tolerance. `residual` is the relative residual it reached."""

    def __init__(self, argument: str, *, expected: str, got: str, do: str, residual: float):
        super().__init__(argument, expected=expected, got=got, do=do)
        self.residual = residual


class CheckpointError(QuickstudyError, ValueError):
    """A folder that is not a saved learner, or one that this version cannot read."""


class UnsupportedError(QuickstudyError, TypeError):
    """Two parts that do not work together; the message names one that does."""


class MissingPackageError(QuickstudyError, ImportError):
    """An optional package that is not installed."""


class DataWarning(UserWarning):
    """Data that were used, but not all of them, or that seem to be other than they should be."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Advice on an unknown word: the closest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, 1, 0.5)
    return f"Did you mean {close[0]!r}?" if close else "Known are " + ", ".join(known) + "."


def restored(kind: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    """An error as pickle has it, made without its constructor, which takes other arguments than the message."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error
