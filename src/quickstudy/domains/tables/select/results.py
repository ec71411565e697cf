"""Results on known tables: the meta-features of each table and the score of every candidate on it. One JSON file.

{"format": 1, "scoring": "accuracy", "candidates": [{"learner": .., "parameters": {..}}, ..], "features": ["simple.log_rows", ..],
 "tables": [{"name": .., "family": .., "features": [..], "scores": [.. null where the fit failed ..]}, ..]}
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from quickstudy.domains.tables.select.candidates import Candidate, score
from quickstudy.domains.tables.select.meta_features import GROUPS, meta_features
from quickstudy.domains.tables.select.scoring import CLASSES, NUMBERS, check_scoring
from quickstudy.domains.tables.select.tables import Table
from quickstudy.errors import ArgumentError, CheckpointError, QuickstudyError
from quickstudy.files import read_json, write_text
from quickstudy.records import record

FORMAT = 1
SHIPPED = {False: Path(__file__).parent / "results.json", True: Path(__file__).parent / "regression_results.json"}
DIGITS = 3  # significant ones that are kept: a score on 500 rows is known to about 0.01


@dataclass(frozen=True)
class Results:
    """Meta-features and scores of tables.

    Attributes:
        candidates: the learners that were scored.
        features: names of the meta-features.
        names, families: of the tables.
        values: (tables, features).
        scores: (tables, candidates), on held-out rows, the greater the better; NaN if the fit failed.
        scoring: by what, one of `select.scoring`.

    Raises:
        ArgumentError: sizes that do not fit together; a table on which every candidate failed; a duplicate name.

    Examples:
        >>> results = qs.select.shipped()
        >>> len(results), results.scores.shape
        (224, (224, 42))
        >>> wine = results.of([row for row, family in enumerate(results.families) if family == "wine"])
        >>> set(wine.families)
        {'wine'}
    """

    candidates: tuple[Candidate, ...]
    features: tuple[str, ...]
    names: tuple[str, ...]
    families: tuple[str, ...]
    values: np.ndarray
    scores: np.ndarray
    scoring: str = CLASSES

    def __post_init__(self) -> None:
        if other := next((one for one in self.candidates if not one.serves(self.scoring)), None):
            raise _wrong(f"candidates that {self.scoring!r} can score", str(other))
        tables = len(self.names)
        sizes = (len(self.families), self.values.shape, self.scores.shape)
        if sizes != (tables, (tables, len(self.features)), (tables, len(self.candidates))) or not tables:
            raise _wrong(
                f"{tables} families, values {(tables, len(self.features))} and scores {(tables, len(self.candidates))}",
                f"{sizes[0]}, {sizes[1]} and {sizes[2]}",
            )
        if not np.isfinite(self.values).all() or np.isnan(self.scores).all(1).any():
            raise _wrong("finite meta-features, and a score or more of every table", "a table without")
        if len(set(self.names)) != tables or len(set(self.candidates)) != len(self.candidates):
            raise _wrong("different tables and different candidates", "one of them twice")

    def __len__(self) -> int:
        return len(self.names)

    def filled(self) -> np.ndarray:
        """The scores; a failed fit counts as the worst successful one."""
        return np.where(np.isnan(self.scores), np.nanmin(self.scores, axis=1, keepdims=True), self.scores)

    def of(self, rows: Sequence[int] | np.ndarray) -> Results:
        """The results on these tables."""
        rows = np.asarray(rows, dtype=np.int64)
        names, families = (tuple(part[row] for row in rows.tolist()) for part in (self.names, self.families))
        return Results(self.candidates, self.features, names, families, self.values[rows], self.scores[rows], self.scoring)

    def plus(self, other: Results) -> Results:
        """Both, for the same candidates and meta-features: add your own tables to the bundled ones.

        Raises:
            ArgumentError: different candidates or meta-features; a table in both.
        """
        if (self.candidates, self.features, self.scoring) != (other.candidates, other.features, other.scoring):
            raise _wrong("the same candidates, meta-features and scoring", "others")
        names, families = self.names + other.names, self.families + other.families
        values, scores = (np.concatenate(pair) for pair in ((self.values, other.values), (self.scores, other.scores)))
        return Results(self.candidates, self.features, names, families, values, scores, self.scoring)

    def save(self, path: str | Path) -> None:
        """Write one JSON file."""
        write_text(path, self._json())

    def _json(self) -> str:
        """One line per table, so that a diff can be read."""
        tables = [
            {"name": name, "family": family, "features": _short(values), "scores": _short(scores)}
            for name, family, values, scores in zip(self.names, self.families, self.values, self.scores, strict=True)
        ]
        head = {
            "format": FORMAT,
            "scoring": self.scoring,
            "candidates": [one.to_dict() for one in self.candidates],
            "features": self.features,
        }
        rows = ",\n".join(json.dumps(table, separators=(",", ":")) for table in tables)
        return f'{json.dumps(head)[:-1]},\n"tables": [\n{rows}\n]}}\n'

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CheckpointError: no such file, or one that is not a result set.
        """
        do = "Give the path of a file that Results.save wrote."
        expected = f"results of learners on tables, of format {FORMAT}"
        spec = read_json(path, expected=expected, do=do)
        try:
            read = record(Saved, spec)
            scores = [[np.nan if score is None else score for score in table.scores] for table in read.tables]
            return cls(
                read.candidates,
                read.features,
                tuple(table.name for table in read.tables),
                tuple(table.family for table in read.tables),
                np.array([table.features for table in read.tables], dtype=np.float64),
                np.array(scores, dtype=np.float64),
                read.scoring,
            )
        except (ValueError, QuickstudyError) as error:  # a ValueError: rows of several lengths
            raise CheckpointError(str(path), expected=expected, got=str(error)[:600], do=do) from error


@dataclass(frozen=True)
class SavedTable:
    """A table of a file."""

    name: str
    family: str
    features: tuple[float, ...]
    scores: tuple[float | None, ...]


@dataclass(frozen=True)
class Saved:
    """A file."""

    format: Literal[1]
    candidates: tuple[Candidate, ...]
    features: tuple[str, ...]
    tables: tuple[SavedTable, ...]
    scoring: str = CLASSES


def measure(
    tables: Sequence[Table],
    candidates: Sequence[Candidate],
    groups: Sequence[str] = GROUPS,
    *,
    scoring: str | None = None,
    seed: int = 0,
) -> Results:
    """Fit every candidate to every table and score it on the table's test rows; meta-features are of the training rows.

    Args:
        groups: of meta-features, as in `meta_features`.
        scoring: one of `select.scoring`; None: "accuracy" for classifiers, "r2" for regressors.

    Raises:
        ArgumentError: no table, no candidate.
        MissingPackageError: no scikit-learn.
    """
    if not tables or not candidates:
        raise ArgumentError("tables, candidates", expected="one or more of each", got="none", do="See select.tables.")
    by = scoring or (NUMBERS if candidates[0].regression else CLASSES)
    features = [meta_features(table.X, table.y, groups, scoring=by, seed=seed) for table in tables]
    for table in tables:
        check_scoring(by, table.y)
    scores = [
        [score(one, table.X, table.y, table.test_X, table.test_y, scoring=by, seed=seed) for one in candidates]
        for table in tables
    ]
    names = tuple(dict.fromkeys(name for one in features for name in one))
    return Results(
        tuple(candidates),
        names,
        tuple(table.name for table in tables),
        tuple(table.family for table in tables),
        np.array([[one.get(name, 0.0) for name in names] for one in features]),
        np.array(scores),
        by,
    )


@functools.cache
def shipped(*, regression: bool = False) -> Results:
    """The bundled results: the accuracy of 42 classifiers on small tables of 12 families, or R2 of 33 regressors on 8 others."""
    return Results.load(SHIPPED[regression])


def _short(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def _wrong(expected: str, got: str) -> ArgumentError:
    return ArgumentError("results", expected=expected, got=got, do="Measure with select.measure(tables, candidates).")
