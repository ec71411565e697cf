"""Checks of a table, and the split of its rows into folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from quickstudy.domains.tables.select.columns import Columns, as_numbers_and_indicators, columns_of
from quickstudy.domains.tables.select.scoring import CLASSES, NUMBERS, SCORINGS, check_scoring, scoring_named
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError


@dataclass(frozen=True)
class Prepared:
    """A table that passed the checks.

    Attributes:
        X: what candidates are fitted to: float64 (rows, columns), or the frame or array as given where it has categories.
        numbers: what meta-features are computed from, float64 (rows, columns), NaN for a missing value.
        y: class numbers 0..classes-1, or targets as float64, (rows,).
        scoring: the name of what a candidate is chosen by.
        columns: which columns are categories; None where none is.
    """

    X: Any
    numbers: np.ndarray
    y: np.ndarray
    scoring: str
    columns: Columns | None

    @property
    def regression(self) -> bool:
        """Whether y is numbers."""
        return SCORINGS[self.scoring].regression


def prepared(X: Any, y: Any, scoring: str | None = None, categorical: Sequence[Any] = ()) -> Prepared:
    """Check a table.

    Args:
        X: (rows, columns) numbers, NaN or None where one is missing, and categories as text; see `select.columns`.
        y: (rows,) labels of any kind, or numbers to predict.
        scoring: one of `select.scoring`; None: "r2" where y has fractions, else "accuracy".
        categorical: columns of categories, besides those of text.

    Raises:
        ArgumentError: an unknown scoring; X with a column that is neither numbers nor text.
        ShapeError: X that is not a matrix, has no column, or differs from y in the number of rows.
        NotFiniteError: an infinite value in X or among targets.
        LabelError: y that does not fit the scoring; a label that is missing; one class; a class of a single row.
    """
    if scoring is not None:
        scoring_named(scoring)
    labels = np.asarray(y.detach().cpu().numpy() if isinstance(y, Tensor) else y)
    X = X if isinstance(X, Tensor) or hasattr(X, "iloc") else _as_array(X)
    if X.ndim != 2 or X.shape[1] == 0 or labels.ndim != 1 or len(X) != len(labels):
        raise ShapeError(
            "X, y",
            expected="X (rows, columns) with a column or more, and y (rows,)",
            got=f"{tuple(X.shape)} and {labels.shape}",
            do="Give a row of numbers and a label for every example; images are flattened first.",
        )
    columns = columns_of(X, categorical)
    numbers = as_numbers(X) if columns is None else as_numbers_and_indicators(X, columns)
    if bool(np.isinf(numbers).any()):
        raise NotFiniteError("X", expected="numbers, or NaN where one is missing", got="infinity", do="Write NaN in its place.")
    scoring = scoring or (NUMBERS if _has_fractions(labels) else CLASSES)
    y = as_targets(labels) if SCORINGS[scoring].regression else as_classes(labels, scoring)
    check_scoring(scoring, y)
    return Prepared(numbers if columns is None else X, numbers, y, scoring, columns)


def as_classes(labels: np.ndarray, scoring: str = CLASSES) -> np.ndarray:
    """The class number 0..classes-1 of each label."""
    if _has_fractions(labels):
        raise _labels(f"labels of classes for scoring={scoring!r}", "fractions", f"Take scoring={NUMBERS!r} for numbers.")
    if any(label is None or label != label for label in labels.tolist()):
        raise _labels("a label for every row", "rows without one", "Leave them out.")
    try:
        classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    except TypeError as error:
        raise _labels("labels of one kind", "text among numbers", "Give all as text, or all as numbers.") from error
    if len(classes) < 2:
        raise _labels("two classes or more", f"{len(classes)}", "There is nothing to tell apart.")
    if counts.min() < 2:
        rare = classes.tolist()[int(counts.argmin())]
        number = f", or take scoring={NUMBERS!r} where y is a number to predict" if labels.dtype.kind in "iuf" else ""
        raise _labels("two rows of every class", f"one of {rare!r}", f"Leave that class out, or join it to another{number}.")
    return codes.reshape(-1).astype(np.int64)


def as_targets(labels: np.ndarray) -> np.ndarray:
    """Targets as float64."""
    try:
        y = labels.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise _labels("numbers to predict", str(error)[:100], f"Take scoring={CLASSES!r} for classes.") from error
    if not bool(np.isfinite(y).all()):
        raise NotFiniteError("y", expected="finite numbers", got="NaN or infinity", do="Leave such rows out.")
    if len(y) < 2 or bool((y == y[0]).all()):
        raise _labels("two different numbers or more", f"{len(y)} rows, all alike", "There is nothing to predict.")
    return y


def as_numbers(X: Any) -> np.ndarray:
    """X as a new float64 array.

    Raises:
        ArgumentError: a value that is not a number.
    """
    try:
        return np.array(X.detach().cpu().double().numpy() if isinstance(X, Tensor) else X, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            "X", expected="numbers, or NaN where one is missing", got=str(error), do="Give rows of equal length."
        ) from error


def strata(y: np.ndarray, regression: bool) -> np.ndarray:
    """What folds spread evenly: classes; targets are not."""
    return np.zeros(len(y), dtype=np.int64) if regression else y


def folds(codes: np.ndarray, parts: int, generator: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """`parts` pairs of rows (to learn from, to be scored on), classes spread evenly; fewer if the rarest class is smaller.

    Rows are sorted by class, in random order within one, and dealt out like cards. With two rows of every class or more, each
    class is among the rows to learn from.
    """
    parts = int(min(parts, np.bincount(codes).min()))
    order = generator.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    hand = np.empty(len(codes), dtype=np.int64)
    hand[order] = np.arange(len(codes)) % parts
    return [(np.flatnonzero(hand != part), np.flatnonzero(hand == part)) for part in range(parts)]


def _as_array(X: Any) -> np.ndarray:
    """X as an array of numbers, else of objects, so that text stays text and numbers stay numbers."""
    try:
        return np.array(X, dtype=np.float64)
    except (ValueError, TypeError):
        return np.array(X, dtype=object)


def _has_fractions(labels: np.ndarray) -> bool:
    if labels.dtype.kind != "f" or bool(np.isnan(labels).any()):
        return False
    return bool((labels != np.round(labels)).any())


def _labels(expected: str, got: str, do: str) -> LabelError:
    return LabelError("y", expected=expected, got=got, do=do)
