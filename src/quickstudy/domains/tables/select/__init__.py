"""Choose a learning algorithm for a table by results on other tables: learning from metadata.

    select.recommend(X, y)    base learners with hyperparameters, ranked, without fitting any of them
    select.fit(X, y)          the best of a few of them by cross-validation, fitted: a scikit-learn pipeline
    select.search(X, y)       a longer search with Optuna that starts from them

y is classes or numbers to predict. They work out of the box: a recommender is fitted, in milliseconds, to bundled results of
scikit-learn's classifiers and regressors on small tables. To use tables of your own, fit
`Recommender().fit(measure(tables, candidates))`. scikit-learn is required (`pip install quickstudy[sklearn]`) and imported on
first use.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from quickstudy.domains.tables.select.candidates import Candidate as Candidate
from quickstudy.domains.tables.select.candidates import cross_validated, fitted
from quickstudy.domains.tables.select.candidates import grid as grid
from quickstudy.domains.tables.select.inputs import prepared
from quickstudy.domains.tables.select.meta_features import meta_features as meta_features
from quickstudy.domains.tables.select.recommender import Recommendation as Recommendation
from quickstudy.domains.tables.select.recommender import Recommender as Recommender
from quickstudy.domains.tables.select.results import Results as Results
from quickstudy.domains.tables.select.results import measure as measure
from quickstudy.domains.tables.select.results import shipped as shipped
from quickstudy.domains.tables.select.scoring import SCORINGS
from quickstudy.domains.tables.select.search import Search as Search
from quickstudy.domains.tables.select.search import warm_search
from quickstudy.domains.tables.select.tables import Table as Table
from quickstudy.errors import ArgumentError, ConvergenceError


def recommend(
    X: Any,
    y: Any,
    k: int | None = 5,
    *,
    scoring: str | None = None,
    categorical: Sequence[Any] = (),
    recommender: Recommender | None = None,
    most_per_learner: int | None = None,
    seed: int = 0,
) -> list[Recommendation]:
    """The k most promising base learners with hyperparameters for the table X, y, best first.

    Args:
        X: (rows, columns) numbers, NaN where one is missing, and categories as text: an array, a tensor, a data frame.
        y: (rows,) labels of any kind, or numbers to predict.
        k: how many; None: all.
        scoring: what a candidate is chosen by, under scikit-learn's name: "accuracy", "balanced_accuracy", "f1_macro", "roc_auc",
            "roc_auc_ovr", "average_precision", "neg_log_loss"; for numbers "r2", "neg_root_mean_squared_error",
            "neg_mean_absolute_error", "neg_median_absolute_error", "spearman", "ndcg". None: "r2" where y has fractions, else
            "accuracy". The bundled results are accuracies and R2: they propose, and `fit` and `search` choose among what is
            proposed by the scoring.
        categorical: columns of categories besides those of text, by name or by position: codes, say.
        recommender: your own; None: the bundled one.
        most_per_learner: at most this many with the same learner; None: no limit.
        seed: of the folds that landmarks are measured on.

    Raises:
        ArgumentError: k below 1; an unknown scoring; X with a column that is neither numbers nor text; a recommender of
            classifiers for numbers, or the contrary.
        ShapeError, LabelError, NotFiniteError: X, y that are no table, or that the scoring does not fit.
        MissingPackageError: no scikit-learn.
    """
    by = prepared(X, y, scoring, categorical).scoring
    own = recommender or _own(SCORINGS[by].regression)
    return own.recommend(X, y, k, scoring=by, categorical=categorical, most_per_learner=most_per_learner, seed=seed)


def fit(
    X: Any,
    y: Any,
    *,
    k: int = 3,
    folds: int = 5,
    scoring: str | None = None,
    categorical: Sequence[Any] = (),
    recommender: Recommender | None = None,
    seed: int = 0,
) -> Any:
    """A fitted scikit-learn pipeline: the best by cross-validation of the k recommended learners; with k=1 the first, untested.

    Args:
        folds: of the cross-validation; fewer if a class has fewer rows.
        X, y, scoring, categorical, recommender, seed: see `recommend`.

    Raises:
        ArgumentError: k below 1, folds below 2.
        ConvergenceError: none of the k can be fitted.
        ShapeError, LabelError, NotFiniteError, MissingPackageError: see `recommend`.
    """
    if folds < 2:
        raise ArgumentError("folds", expected="2 or more", got=str(folds), do="Leave it out.")
    table = prepared(X, y, scoring, categorical)
    found = recommend(X, y, k, scoring=table.scoring, categorical=categorical, recommender=recommender, seed=seed)
    ranked = [one.candidate for one in found]
    if k == 1:
        return fitted(ranked[0], X, y, seed, table.columns)
    scores = [cross_validated(candidate, table, folds, seed=seed) for candidate in ranked]
    able = [(score, -rank) for rank, score in enumerate(scores) if score == score]
    if not able:
        raise ConvergenceError(
            "select.fit",
            expected="a candidate that can be fitted",
            got=f"{len(ranked)} that failed, {ranked[0]} among them",
            do="Raise k.",
            residual=1.0,
        )
    return fitted(ranked[-max(able)[1]], X, y, seed, table.columns)


def search(
    X: Any,
    y: Any,
    trials: int = 30,
    *,
    k: int = 5,
    folds: int = 3,
    scoring: str | None = None,
    categorical: Sequence[Any] = (),
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
        X, y, scoring, categorical, recommender, seed: see `recommend`.

    Raises:
        ArgumentError: trials or k below 1, folds below 2.
        ConvergenceError: no candidate could be fitted.
        MissingPackageError: no Optuna (`pip install optuna`).
        ShapeError, LabelError, NotFiniteError: see `recommend`.
    """
    by = prepared(X, y, scoring, categorical).scoring
    own = recommender or _own(SCORINGS[by].regression)
    settings = {"scoring": by, "categorical": categorical, "k": k, "folds": folds, "seconds": seconds, "seed": seed}
    return warm_search(X, y, trials, recommender=own, **settings)  # type: ignore[arg-type]


@functools.cache
def _own(regression: bool) -> Recommender:
    """The bundled recommender of classifiers, or of regressors."""
    return Recommender().fit(shipped(regression=regression))
