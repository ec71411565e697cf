"""Candidates: scikit-learn's classifiers and regressors with hyperparameters, to recommend from and to search among.

A candidate is written as plain values, {"learner": "svm", "parameters": {"C": 10.0, "gamma": 0.5}}, and only learners and
parameters of this module are read back.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from quickstudy.domains.tables.select.columns import Columns, rows_of
from quickstudy.domains.tables.select.extras import one_thread, package, without_warnings_of_sklearn
from quickstudy.domains.tables.select.inputs import Prepared, folds, strata
from quickstudy.domains.tables.select.scoring import CLASSES, scorer
from quickstudy.domains.tables.select.spaces import LEARNERS, Value
from quickstudy.errors import ArgumentError


@dataclass(frozen=True)
class Candidate:
    """A learner of `LEARNERS` with all its hyperparameters.

    Raises:
        ArgumentError: an unknown learner; a hyperparameter that is missing, unknown or out of its range.

    Examples:
        >>> candidate = qs.select.Candidate("svm", {"C": 10.0, "gamma": 0.1})
        >>> [name for name, _ in candidate.estimator().steps]
        ['simpleimputer', 'standardscaler', 'svc']
        >>> len(qs.select.grid())
        42
    """

    learner: str
    parameters: Mapping[str, Value]

    def __post_init__(self) -> None:
        if self.learner not in LEARNERS:
            raise ArgumentError("learner", expected=f"one of {list(LEARNERS)}", got=repr(self.learner), do="Name one of these.")
        space = LEARNERS[self.learner].parameters
        if set(self.parameters) != set(space):
            raise ArgumentError(
                f"{self.learner}'s parameters",
                expected=f"{sorted(space)}",
                got=f"{sorted(self.parameters)}",
                do="Name each of them once.",
            )
        for name, value in self.parameters.items():
            if not space[name].holds(value):
                raise ArgumentError(
                    f"{self.learner}'s {name}", expected=str(space[name]), got=repr(value), do="Choose such a value."
                )

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {"learner": self.learner, "parameters": dict(self.parameters)}

    @property
    def regression(self) -> bool:
        """Whether it predicts numbers, not classes."""
        return LEARNERS[self.learner].regression

    def serves(self, scoring: str) -> bool:
        """Whether it can be chosen by this scoring."""
        return LEARNERS[self.learner].serves(scoring)

    def estimator(self, seed: int = 0, columns: Columns | None = None) -> Any:
        """A new scikit-learn pipeline: means for missing values, standardised columns where the learner needs them, the learner.

        Args:
            columns: of a table with categories, which are encoded one-hot; None: all columns are numbers.

        Raises:
            MissingPackageError: no scikit-learn.
        """
        space = LEARNERS[self.learner]
        if columns is not None:
            steps = [columns.transformer(space.standardise)]
        else:
            steps = [package("sklearn.impute", "select").SimpleImputer(keep_empty_features=True)]
            if space.standardise:
                steps.append(package("sklearn.preprocessing", "select").StandardScaler())
        module, _, name = space.path.rpartition(".")
        build = getattr(package(f"sklearn.{module}", "select"), name)
        arguments = {**space.fixed, **self.parameters} | ({"random_state": seed} if space.seeded else {})
        learner = build(**arguments)
        if space.regression and space.standardise:  # y as well: alpha, C and epsilon are in its units
            scale = package("sklearn.preprocessing", "select").StandardScaler()
            learner = package("sklearn.compose", "select").TransformedTargetRegressor(learner, transformer=scale)
        return package("sklearn.pipeline", "select").make_pipeline(*steps, learner)

    def __str__(self) -> str:
        return f"{self.learner}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"

    def __hash__(self) -> int:
        return hash((self.learner, tuple(sorted(self.parameters.items()))))


def grid(*, regression: bool = False) -> list[Candidate]:
    """Every combination of the grid values of every classifier, 42 in all; or of every regressor, 33 in all."""
    return [
        Candidate(learner, dict(zip(space.parameters, values, strict=True)))
        for learner, space in LEARNERS.items()
        if space.regression == regression
        for values in itertools.product(*(one.grid for one in space.parameters.values()))
    ]


def score(
    candidate: Candidate,
    X: Any,
    y: np.ndarray,
    test_X: Any,
    test_y: np.ndarray,
    *,
    scoring: str = CLASSES,
    columns: Columns | None = None,
    seed: int = 0,
) -> float:
    """The score of the test rows after a fit to X, y; NaN if the fit fails, as with some hyperparameters.

    On one thread: on tables as small as these, more are slower.
    """
    judge = scorer(scoring)
    with one_thread(), without_warnings_of_sklearn:
        try:
            return float(judge(candidate.estimator(seed, columns).fit(X, y), test_X, test_y))
        except (ValueError, FloatingPointError, np.linalg.LinAlgError):
            return float("nan")


def cross_validated(candidate: Candidate, table: Prepared, parts: int, *, seed: int = 0) -> float:
    """The mean score over `parts` folds, NaN if one of them fails; the same seed gives the same folds."""
    X, y, dealt = table.X, table.y, folds(strata(table.y, table.regression), parts, np.random.default_rng(seed))
    settings = {"scoring": table.scoring, "columns": table.columns, "seed": seed}
    scores = [
        score(candidate, rows_of(X, own), y[own], rows_of(X, asked), y[asked], **settings)  # type: ignore[arg-type]
        for own, asked in dealt
    ]
    return float(np.mean(scores))


def fitted(candidate: Candidate, X: Any, y: Any, seed: int, columns: Columns | None = None) -> Any:
    """The candidate's pipeline, fitted to X as given, so that a data frame's column names are kept."""
    X, y = (value.detach().cpu().numpy() if isinstance(value, Tensor) else value for value in (X, y))
    if columns is not None and not hasattr(X, "iloc"):
        X = np.array(X, dtype=object)
    with without_warnings_of_sklearn:
        return candidate.estimator(seed, columns).fit(X, y)
