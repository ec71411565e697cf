"""Checks of a table, and the split of its rows into folds."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError


def as_table(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X as float64 (rows, columns), the class number 0..classes-1 of each row, and the labels (classes,), sorted.

    A missing value is NaN, or None.

    Raises:
        ArgumentError: X with values that are not numbers.
        ShapeError: X that is not a matrix, has no column, or differs from y in the number of rows.
        NotFiniteError: an infinite value in X.
        LabelError: targets instead of labels; a label that is missing; one class; a class of a single row.
    """
    X = as_numbers(X)
    labels = np.asarray(y.detach().cpu().numpy() if isinstance(y, Tensor) else y)
    if X.ndim != 2 or X.shape[1] == 0 or labels.ndim != 1 or len(X) != len(labels):
        raise ShapeError(
            "X, y",
            expected="X (rows, columns) with a column or more, and y (rows,)",
            got=f"{X.shape} and {labels.shape}",
            do="Give a row of numbers and a label for every example; images are flattened first.",
        )
    if bool(np.isinf(X).any()):
        raise NotFiniteError("X", expected="numbers, or NaN where one is missing", got="infinity", do="Write NaN in its place.")
    kind = labels.dtype.kind
    if kind == "f" and not bool(np.isnan(labels).any()) and bool((labels != np.round(labels)).any()):
        raise _labels("the label of a class", "fractions, which are targets", "select chooses classifiers.")
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
        raise _labels("two rows of every class", f"one of {rare!r}", "Leave that class out, or join it to another.")
    return X, codes.reshape(-1).astype(np.int64), classes


def as_numbers(X: Any) -> np.ndarray:
    """X as a new float64 array.

    Raises:
        ArgumentError: a value that is not a number.
    """
    try:
        return np.array(X.detach().cpu().double().numpy() if isinstance(X, Tensor) else X, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ArgumentError(
            "X", expected="numbers, or NaN where one is missing", got=str(error), do="Encode words as numbers first, one-hot."
        ) from error


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


def _labels(expected: str, got: str, do: str) -> LabelError:
    return LabelError("y", expected=expected, got=got, do=do)
