"""Candidates: scikit-learn's classifiers with hyperparameters, as a grid to recommend from and as ranges to search in.

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

from quickstudy.domains.tables.select.extras import one_thread, package, without_warnings_of_sklearn
from quickstudy.domains.tables.select.inputs import folds
from quickstudy.errors import ArgumentError

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Options:
    """A hyperparameter with a fixed set of values."""

    grid: tuple[Value, ...]

    def holds(self, value: Any) -> bool:
        return any(type(value) is type(one) and value == one for one in self.grid)


@dataclass(frozen=True)
class Range:
    """A number from low to high, whole if low is an int, searched on a log scale if low is above 0; `grid` is within it."""

    low: float
    high: float
    grid: tuple[float, ...]

    def holds(self, value: Any) -> bool:
        kinds = int if isinstance(self.low, int) else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class LearnerSpace:
    """A scikit-learn classifier: its class, its hyperparameters, chosen and fixed, and whether to standardise columns first."""

    path: str
    parameters: Mapping[str, Options | Range]
    fixed: Mapping[str, Any]
    standardise: bool = True
    seeded: bool = False


LEARNERS: dict[str, LearnerSpace] = {
    "logistic_regression": LearnerSpace(
        "linear_model.LogisticRegression", {"C": Range(1e-3, 1e3, (0.01, 0.1, 1.0, 10.0, 100.0))}, {"max_iter": 500}
    ),
    "linear_discriminant": LearnerSpace(
        "discriminant_analysis.LinearDiscriminantAnalysis", {"shrinkage": Range(0.0, 1.0, (0.01, 0.3))}, {"solver": "lsqr"}
    ),
    "quadratic_discriminant": LearnerSpace(
        "discriminant_analysis.QuadraticDiscriminantAnalysis", {"reg_param": Range(0.0, 1.0, (0.01, 0.1, 0.5))}, {}
    ),
    "naive_bayes": LearnerSpace("naive_bayes.GaussianNB", {"var_smoothing": Range(1e-9, 1.0, (1e-9, 0.1))}, {}),
    "nearest_neighbours": LearnerSpace(
        "neighbors.KNeighborsClassifier",
        {"n_neighbors": Range(1, 50, (1, 5, 15)), "weights": Options(("uniform", "distance"))},
        {},
    ),
    "svm": LearnerSpace(
        "svm.SVC",
        {"C": Range(1e-2, 1e3, (1.0, 10.0, 100.0)), "gamma": Range(1e-4, 10.0, (0.01, 0.1, 0.5))},
        {"kernel": "rbf"},
    ),
    "decision_tree": LearnerSpace(
        "tree.DecisionTreeClassifier", {"min_samples_leaf": Range(1, 20, (1, 5, 15))}, {}, standardise=False, seeded=True
    ),
    "random_forest": LearnerSpace(
        "ensemble.RandomForestClassifier",
        {"max_features": Options(("sqrt", 0.5)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
    ),
    "extra_trees": LearnerSpace(
        "ensemble.ExtraTreesClassifier",
        {"max_features": Options(("sqrt", 1.0)), "min_samples_leaf": Range(1, 20, (1, 5))},
        {"n_estimators": 100},
        standardise=False,
        seeded=True,
    ),
    "gradient_boosting": LearnerSpace(
        "ensemble.GradientBoostingClassifier",
        {"max_depth": Range(1, 6, (1, 3)), "learning_rate": Range(0.01, 0.5, (0.1,))},
        {"n_estimators": 50, "subsample": 0.7},
        standardise=False,
        seeded=True,
    ),
    "multilayer_perceptron": LearnerSpace(
        "neural_network.MLPClassifier",
        {"alpha": Range(1e-5, 10.0, (1e-3, 1.0))},
        {"hidden_layer_sizes": (64,), "solver": "lbfgs", "max_iter": 150},
        seeded=True,
    ),
}


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

    def estimator(self, seed: int = 0) -> Any:
        """A new scikit-learn pipeline: means for missing values, standardised columns where the learner needs them, the learner.

        Raises:
            MissingPackageError: no scikit-learn.
        """
        space = LEARNERS[self.learner]
        steps = [package("sklearn.impute", "select").SimpleImputer(keep_empty_features=True)]
        if space.standardise:
            steps.append(package("sklearn.preprocessing", "select").StandardScaler())
        module, _, name = space.path.rpartition(".")
        build = getattr(package(f"sklearn.{module}", "select"), name)
        arguments = {**space.fixed, **self.parameters} | ({"random_state": seed} if space.seeded else {})
        steps.append(build(**arguments))
        return package("sklearn.pipeline", "select").make_pipeline(*steps)

    def __str__(self) -> str:
        return f"{self.learner}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"

    def __hash__(self) -> int:
        return hash((self.learner, tuple(sorted(self.parameters.items()))))


def grid() -> list[Candidate]:
    """Every combination of the grid values of every learner, 42 in all."""
    return [
        Candidate(learner, dict(zip(space.parameters, values, strict=True)))
        for learner, space in LEARNERS.items()
        for values in itertools.product(*(one.grid for one in space.parameters.values()))
    ]


def accuracy(
    candidate: Candidate, X: np.ndarray, y: np.ndarray, test_X: np.ndarray, test_y: np.ndarray, *, seed: int = 0
) -> float:
    """The accuracy on the test rows after a fit to X, y; NaN if the fit fails, as with some hyperparameters.

    On one thread: on tables as small as these, more are slower.
    """
    with one_thread(), without_warnings_of_sklearn:
        try:
            return float(np.mean(candidate.estimator(seed).fit(X, y).predict(test_X) == test_y))
        except (ValueError, FloatingPointError, np.linalg.LinAlgError):
            return float("nan")


def cross_validated(candidate: Candidate, X: np.ndarray, y: np.ndarray, parts: int, *, seed: int = 0) -> float:
    """The mean accuracy over `parts` folds, NaN if one of them fails; the same seed gives the same folds."""
    dealt = folds(y, parts, np.random.default_rng(seed))
    return float(np.mean([accuracy(candidate, X[train], y[train], X[test], y[test], seed=seed) for train, test in dealt]))


def fitted(candidate: Candidate, X: Any, y: Any, seed: int) -> Any:
    """The candidate's pipeline, fitted to X as given, so that a data frame's column names are kept."""
    X, y = (value.detach().cpu().numpy() if isinstance(value, Tensor) else value for value in (X, y))
    with without_warnings_of_sklearn:
        return candidate.estimator(seed).fit(X, y)
