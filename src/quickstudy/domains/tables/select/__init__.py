"""Choose a learning algorithm for a table by results on other tables: learning from metadata.

    select.recommend(X, y)    base learners with hyperparameters, ranked, without fitting any of them
    select.fit(X, y)          the best of a few of them by cross-validation, fitted: a scikit-learn classifier
    select.search(X, y)       a longer search with Optuna that starts from them

They work out of the box: a recommender is fitted, in milliseconds, to bundled results of scikit-learn's classifiers on small
tables. To use tables of your own, fit `Recommender().fit(measure(tables, candidates))`. scikit-learn is required
(`pip install quickstudy[sklearn]`) and imported on first use.
"""

from __future__ import annotations

import functools
from typing import Any

from quickstudy.domains.tables.select.candidates import Candidate as Candidate
from quickstudy.domains.tables.select.candidates import cross_validated, fitted
from quickstudy.domains.tables.select.candidates import grid as grid
from quickstudy.domains.tables.select.inputs import as_table
from quickstudy.domains.tables.select.meta_features import meta_features as meta_features
from quickstudy.domains.tables.select.recommender import Recommendation as Recommendation
from quickstudy.domains.tables.select.recommender import Recommender as Recommender
from quickstudy.domains.tables.select.results import Results as Results
from quickstudy.domains.tables.select.results import measure as measure
from quickstudy.domains.tables.select.results import shipped as shipped
from quickstudy.domains.tables.select.search import Search as Search
from quickstudy.domains.tables.select.search import warm_search
from quickstudy.domains.tables.select.tables import Table as Table
from quickstudy.errors import ArgumentError, ConvergenceError


def recommend(
    X: Any,
    y: Any,
    k: int | None = 5,
    *,
    recommender: Recommender | None = None,
    most_per_learner: int | None = None,
    seed: int = 0,
) -> list[Recommendation]:
    """The k most promising base learners with hyperparameters for the table X, y, best first.

    Args:
        X: (rows, columns) numbers, NaN where one is missing: an array, a tensor, a data frame.
        y: (rows,) labels of any kind.
        k: how many; None: all 42.
        recommender: your own; None: the bundled one.
        most_per_learner: at most this many with the same learner; None: no limit.
        seed: of the folds that landmarks are measured on.

    Raises:
        ArgumentError: k below 1; X with values that are not numbers.
        ShapeError, LabelError, NotFiniteError: X, y that are not a table of numbers and classes.
        MissingPackageError: no scikit-learn.
    """
    return (recommender or _own()).recommend(X, y, k, most_per_learner=most_per_learner, seed=seed)


def fit(X: Any, y: Any, *, k: int = 3, folds: int = 5, recommender: Recommender | None = None, seed: int = 0) -> Any:
    """A fitted scikit-learn pipeline: the best by cross-validation of the k recommended learners; with k=1 the first, untested.

    Args:
        folds: of the cross-validation; fewer if a class has fewer rows.
        X, y, recommender, seed: see `recommend`.

    Raises:
        ArgumentError: k below 1, folds below 2.
        ConvergenceError: none of the k can be fitted.
        ShapeError, LabelError, NotFiniteError, MissingPackageError: see `recommend`.
    """
    if folds < 2:
        raise ArgumentError("folds", expected="2 or more", got=str(folds), do="Leave it out.")
    ranked = [one.candidate for one in recommend(X, y, k, recommender=recommender, seed=seed)]
    if k == 1:
        return fitted(ranked[0], X, y, seed)
    rows, codes, _ = as_table(X, y)
    scores = [cross_validated(candidate, rows, codes, folds, seed=seed) for candidate in ranked]
    able = [(score, -rank) for rank, score in enumerate(scores) if score == score]
    if not able:
        raise ConvergenceError(
            "select.fit",
            expected="a candidate that can be fitted",
            got=f"{len(ranked)} that failed, {ranked[0]} among them",
            do="Raise k.",
            residual=1.0,
        )
    return fitted(ranked[-max(able)[1]], X, y, seed)


def search(
    X: Any,
    y: Any,
    trials: int = 30,
    *,
    k: int = 5,
    folds: int = 3,
    seconds: float | None = None,
    recommender: Recommender | None = None,
    seed: int = 0,
) -> Search:
    """A search over learners and ranges of their hyperparameters: the k recommended candidates first, then Optuna's TPE.

    Args:
        trials: how many candidates to try, including the k.
        k: how many of them are recommended.
        folds: of the cross-validation that scores one.
        seconds: no trial starts after this many seconds.
        X, y, recommender, seed: see `recommend`.

    Raises:
        ArgumentError: trials or k below 1, folds below 2.
        ConvergenceError: no candidate could be fitted.
        MissingPackageError: no Optuna (`pip install optuna`).
        ShapeError, LabelError, NotFiniteError: see `recommend`.
    """
    return warm_search(X, y, trials, recommender=recommender or _own(), k=k, folds=folds, seconds=seconds, seed=seed)


@functools.cache
def _own() -> Recommender:
    """The bundled recommender."""
    return Recommender().fit(shipped())
