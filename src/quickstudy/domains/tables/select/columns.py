"""Columns of a table: numbers, and categories, which are encoded one-hot inside of a candidate.

A column of text, or of a categorical dtype, holds categories; `categorical=` names others, such as codes. Each of the most
frequent categories becomes a column "colour_red", the others one together; a missing value is a category of its own, "missing".
What comes later and was not there before counts as one of the others, or as none where there were none.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from quickstudy.domains.tables.select.extras import package
from quickstudy.errors import ArgumentError, nearest

MOST = 30  # columns that one column of categories becomes, at most
MISSING = "missing"


@dataclass(frozen=True)
class Columns:
    """Which columns are numbers and which are categories: by name in a frame, else by position."""

    numbers: tuple[Any, ...]
    categories: tuple[Any, ...]

    def transformer(self, standardise: bool) -> Any:
        """A scikit-learn transformer to numbers without a missing value, whose columns have names."""
        compose, pipeline = package("sklearn.compose", "select"), package("sklearn.pipeline", "select")
        preprocessing = package("sklearn.preprocessing", "select")
        text = preprocessing.FunctionTransformer(as_text, feature_names_out="one-to-one")
        hot = preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MOST, sparse_output=False)
        filled = [package("sklearn.impute", "select").SimpleImputer(keep_empty_features=True)]
        scaled = [preprocessing.StandardScaler()] if standardise else []
        parts = [
            ("numbers", pipeline.make_pipeline(*filled, *scaled), list(self.numbers)),
            ("categories", pipeline.make_pipeline(text, hot), list(self.categories)),
        ]
        return compose.ColumnTransformer(
            [part for part in parts if part[2]], verbose_feature_names_out=False, sparse_threshold=0.0
        )


def columns_of(X: Any, categorical: Sequence[Any] = ()) -> Columns | None:
    """The columns of X; None where all are numbers.

    Raises:
        ArgumentError: a column that is neither; a name or a position in `categorical` that X does not have.
    """
    if not len(categorical) and _all_numbers(X):
        return None
    names = _names(X)
    for one in categorical:
        if one not in names:
            do = nearest(one, names) if isinstance(one, str) and all(isinstance(name, str) for name in names) else ""
            got = f"{one!r}"
            raise ArgumentError("categorical", expected=f"columns of X: {names[:10]}", got=got, do=do or "Name one of these.")
    dtypes = [str(dtype) for dtype in X.dtypes] if hasattr(X, "dtypes") else [""] * len(names)
    chosen = [
        name
        for place, (name, dtype) in enumerate(zip(names, dtypes, strict=True))
        if name in categorical or dtype == "category" or _is_text(column(X, place), name)
    ]
    return Columns(tuple(name for name in names if name not in chosen), tuple(chosen))


def as_numbers_and_indicators(X: Any, columns: Columns) -> np.ndarray:
    """What meta-features see of such a table: its numbers, and 0 or 1 for each frequent category; missing ones are NaN or 0."""
    names, found = _names(X), []
    for place, name in enumerate(names):
        if name in columns.numbers:
            found.append(np.array([np.nan if _is_missing(one) else one for one in column(X, place)], dtype=np.float64)[:, None])
            continue
        texts = as_text(np.array(column(X, place), dtype=object)[:, None])[:, 0].astype(str)
        values, counts = np.unique(texts, return_counts=True)
        values = values[np.argsort(-counts, kind="stable")]
        found.append((texts[:, None] == values[values != MISSING][:MOST]).astype(np.float64))
    return np.concatenate(found, 1)


def as_text(X: Any) -> np.ndarray:
    """Categories (rows, columns) as text: 3 and 3.0 are "3", and a missing one is "missing"."""
    values = np.asarray(X, dtype=object)
    return np.frompyfunc(_text, 1, 1)(values).astype(object)


def column(X: Any, place: int) -> list[Any]:
    """The values of one column."""
    return X.iloc[:, place].tolist() if hasattr(X, "iloc") else [row[place] for row in X]


def rows_of(X: Any, rows: np.ndarray) -> Any:
    """These rows of a frame or of an array."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _names(X: Any) -> list[Any]:
    """The names of the columns of a frame, where they are texts of which none is there twice; else positions."""
    labels = list(getattr(X, "columns", ()))
    if labels and all(isinstance(label, str) for label in labels) and len(set(labels)) == len(labels):
        return labels
    return list(range(np.shape(X)[1]))


def _all_numbers(X: Any) -> bool:
    if isinstance(X, Tensor):
        return True
    dtypes = [str(dtype) for dtype in X.dtypes] if hasattr(X, "dtypes") else []
    if "category" in dtypes:
        return False
    try:
        np.array(X, dtype=np.float64)
    except (ValueError, TypeError):
        return False
    return True


def _is_text(values: list[Any], name: Any) -> bool:
    """Whether a column holds categories and not numbers.

    Raises:
        ArgumentError: neither text nor numbers.
    """
    known = [value for value in values if not _is_missing(value)]
    if known and all(isinstance(value, str | bytes) for value in known):
        return True
    if all(isinstance(value, numbers.Real | np.bool_) for value in known):
        return False
    other = next(value for value in known if not isinstance(value, numbers.Real | np.bool_))
    raise ArgumentError(
        "X",
        expected="a column of numbers, or of text",
        got=f"{other!r} in column {name!r}"[:120],
        do="Turn it into numbers, such as days since a date, or name the column in `categorical`.",
    )


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has in their place."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _text(value: Any) -> str:
    if _is_missing(value):
        return MISSING
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
