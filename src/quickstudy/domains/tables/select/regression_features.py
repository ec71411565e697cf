"""Meta-features of a table whose y is numbers: the groups of `meta_features`, where y is a target t, standardised.

    simple        logarithms of sizes and ratio; the share of missing values, of binary and discrete columns, of different targets
    statistical   moments of columns and of t; |r_ij| between columns; |r_i| of each with t;  the R2 of least squares        (1)
    information   I(x_j; t) of columns and t cut at quantiles, as a share of H(t)                                             (2)
    landmarking   R2 of a fast learner, cross-validated, at -1 or above; and that minus the mean over those learners          (3)

Source: as in `meta_features`; correlations with the target in place of class means: Lorena, Maciel, de Miranda, Costa &
Prudencio, "Data complexity meta-features for regression problems", Machine Learning 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from quickstudy.domains.tables.select.inputs import folds, strata
from quickstudy.domains.tables.select.landmarks import landmarks

FOLDS = 5
BINS = 10
LANDMARKERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "nearest_neighbours": ("neighbors", "KNeighborsRegressor", {"n_neighbors": 3}),
    "ridge": ("linear_model", "Ridge", {"alpha": 1.0}),
    "svm": ("svm", "SVR", {"C": 10.0}),
    "best_node": ("tree", "DecisionTreeRegressor", {"max_depth": 1}),
    "tree": ("tree", "DecisionTreeRegressor", {"min_samples_leaf": 2}),
    "few_trees": ("ensemble", "ExtraTreesRegressor", {"n_estimators": 20}),
}
Features = dict[str, float]


def standardised_target(y: np.ndarray) -> np.ndarray:
    """t: y with mean 0 and variance 1."""
    t = y - y.mean()
    t = t / np.abs(t).max()  # so that squares neither overflow nor vanish
    return (t - t.mean()) / t.std()


def simple(X: np.ndarray, y: np.ndarray) -> Features:
    """Of X (rows, columns), with NaN for missing values."""
    n, d = X.shape
    distinct = np.array([len(np.unique(column[~np.isnan(column)])) for column in X.T])
    return {
        "log_rows": np.log(n),
        "log_columns": np.log(d),
        "log_rows_per_column": np.log(n / d),
        "missing": np.isnan(X).mean(),
        "binary": (distinct == 2).mean(),
        "discrete": ((distinct > 2) & (distinct <= min(10, n / 4))).mean(),
        "different_targets": len(np.unique(y)) / n,
    }


def statistical(Z: np.ndarray, t: np.ndarray) -> Features:
    """(1) of standardised columns Z (rows, columns) and target t (rows,)."""
    n, d = Z.shape
    varies = (Z != 0).any(0)
    R = Z.T @ Z / n
    between = np.abs(R[varies][:, varies][np.triu_indices(int(varies.sum()), 1)])
    with_t = np.sort(np.abs(Z.T @ t) / n)[::-1]
    ranks = np.argsort(np.argsort(Z, 0), 0) - (n - 1) / 2
    own = np.argsort(np.argsort(t)) - (n - 1) / 2
    by_rank = np.abs(ranks.T @ own) / (own @ own)
    solution = np.linalg.lstsq(np.c_[Z, np.ones(n)], t, rcond=1e-8)[0]
    explained = 1 - ((t - np.c_[Z, np.ones(n)] @ solution) ** 2).mean()
    return {
        "skewness_mean": _mean(np.abs((Z[:, varies] ** 3).mean(0))),
        "kurtosis_mean": _mean((Z[:, varies] ** 4).mean(0) - 3),
        "target_skewness": (t**3).mean(),
        "target_kurtosis": (t**4).mean() - 3,
        "target_outliers": (np.abs(t) > 3).mean(),
        "correlation_mean": _mean(between),
        "correlation_sd": float(between.std()) if between.size else 0.0,
        "with_target_mean": with_t.mean(),
        "with_target_max": with_t[0],
        "with_target_share": (with_t**2).max() / max((with_t**2).sum(), 1e-12),
        "by_rank_mean": by_rank.mean(),
        "by_rank_max": by_rank.max(),
        "least_squares": explained,
        "least_squares_adjusted": 1 - (1 - explained) * (n - 1) / max(n - d - 1, 1),
    }


def information(Z: np.ndarray, t: np.ndarray) -> Features:
    """(2), of columns and target cut into at most 10 bins."""
    n = len(t)
    bins = int(np.clip(round(n ** (1 / 3)), 2, BINS))
    own = _cut(t, bins)
    H = _entropy(np.bincount(own) / n)
    shares = []
    for column in Z.T:
        joint = np.bincount(_cut(column, bins) * bins + own, minlength=bins * bins).reshape(bins, bins) / n
        shares.append(max(_entropy(joint.sum(1)) + H - _entropy(joint.ravel()), 0.0) / max(H, 1e-12))
    share = np.array(shares)
    return {"mutual_mean": share.mean(), "mutual_sd": share.std(), "mutual_max": share.max()}


def landmarking(Z: np.ndarray, t: np.ndarray, generator: np.random.Generator) -> Features:
    """(3): six fast learners on the same folds, each minus their mean, and the mean."""
    dealt, seed = folds(strata(t, regression=True), FOLDS, generator), int(generator.integers(2**31))
    return landmarks(LANDMARKERS, _r2, Z, t, dealt, seed)


def _r2(learner: Any, Z: np.ndarray, t: np.ndarray, test_Z: np.ndarray, test_t: np.ndarray) -> float:
    """R2 against the variance of the whole table, which is 1: a fold of equal targets has one too."""
    try:
        error = float(((learner.fit(Z, t).predict(test_Z) - test_t) ** 2).mean())
    except ValueError:  # fewer rows than neighbours
        error = 1.0
    return max(1 - error, -1.0)


def _cut(values: np.ndarray, bins: int) -> np.ndarray:
    return np.searchsorted(np.unique(np.quantile(values, np.arange(1, bins) / bins)), values, side="right")


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0
