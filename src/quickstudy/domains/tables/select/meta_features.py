"""Meta-features: numbers that describe a table, from which to predict the learner that suits it.

    simple        n rows, d columns, K classes, their logarithms and ratio; shares p_k of the classes                     (1)
    statistical   moments of columns z (mean 0, variance 1): skewness  E z^3,  kurtosis  E z^4 - 3;
                  |r_ij| between columns; eigenvalues of their correlations R;
                  canonical correlations of X with the classes: rho_i^2, eigenvalues of  R^-1 B                           (2)
    information   H(y) = - sum_k p_k log p_k,   I(x_j; y) = H(x_j) + H(y) - H(x_j, y)   of columns cut at quantiles      (3)
    landmarking   accuracy of a fast learner, cross-validated; and that minus the mean over those learners                (4)

Here B = M' diag(p) M is the covariance of the class means M (K, d) of standardised columns. Everything but the logarithms of (1)
stays as it is when the rows come in another order, the columns are scaled, or the classes are renumbered; landmarks up to the
folds that are drawn.

Source: Rivolli, Garcia, Soares, Vanschoren & de Carvalho, "Meta-features for meta-learning", Knowledge-Based Systems 2022, tables
2-6 (definitions); Pfahringer, Bensusan & Giraud-Carrier, "Meta-learning by landmarking various learning algorithms", ICML 2000;
relative landmarks: Fürnkranz & Petrak, "An evaluation of landmarking variants", 2001. Ours differ from those definitions where a
mean over columns of different units would have no meaning: columns are standardised first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from quickstudy.domains.tables.select import regression_features
from quickstudy.domains.tables.select.extras import package
from quickstudy.domains.tables.select.inputs import folds, prepared
from quickstudy.domains.tables.select.landmarks import landmarks
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.process_wide import without_warnings
from quickstudy.randomness import numpy_kept

GROUPS = ("simple", "statistical", "information", "landmarking")
PYMFE = "pymfe."  # prefix of the names of pymfe's groups
PYMFE_GROUPS = (
    "general",
    "statistical",
    "info-theory",
    "model-based",
    "landmarking",
    "clustering",
    "concept",
    "itemset",
    "complexity",
)
ROWS, COLUMNS = 1000, 300  # of a larger table this many are drawn at random, for all but its size
BINS = 10  # at most, of a column cut at its quantiles
FOLDS = 5  # of a landmark's cross-validation
LANDMARKERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "nearest_neighbour": ("neighbors", "KNeighborsClassifier", {"n_neighbors": 1}),
    "naive_bayes": ("naive_bayes", "GaussianNB", {}),
    "linear_discriminant": ("discriminant_analysis", "LinearDiscriminantAnalysis", {"solver": "lsqr", "shrinkage": 0.01}),
    "quadratic_discriminant": ("discriminant_analysis", "QuadraticDiscriminantAnalysis", {"reg_param": 0.1}),
    "svm": ("svm", "SVC", {"C": 10.0}),
    "best_node": ("tree", "DecisionTreeClassifier", {"max_depth": 1}),
    "random_node": ("tree", "DecisionTreeClassifier", {"max_depth": 1, "max_features": 1, "splitter": "random"}),
    "tree": ("tree", "DecisionTreeClassifier", {"min_samples_leaf": 2}),
    "few_trees": ("ensemble", "ExtraTreesClassifier", {"n_estimators": 20}),
}

Features = dict[str, float]


def meta_features(
    X: Any,
    y: Any,
    groups: Sequence[str] = GROUPS,
    *,
    scoring: str | None = None,
    categorical: Sequence[Any] = (),
    seed: int = 0,
) -> Features:
    """The meta-features of a table by name, "group.name", each a finite number.

    Args:
        X: (rows, columns) numbers, NaN where one is missing, and categories as text: an array, a tensor, a data frame.
        y: (rows,) labels of any kind, or numbers to predict, which have meta-features of their own (`regression_features`).
        groups: some of "simple", "statistical", "information" and "landmarking" (which needs scikit-learn), and of pymfe's own
            groups as "pymfe.model-based", "pymfe.complexity" (which need pymfe, and classes).
        scoring: says what y is, as in `select.recommend`; None: numbers where it has fractions, else classes.
        categorical: columns of categories, besides those of text.
        seed: of the folds, and of the rows drawn from a table of more than 1000.

    Raises:
        ArgumentError: an unknown group; X with values that are not numbers.
        ShapeError, LabelError, NotFiniteError: X, y that are not a table of numbers and classes; see `select.inputs.prepared`.
        UnsupportedError: a group of pymfe for numbers to predict.
        MissingPackageError: a group whose package is not installed.
    """
    for group in groups:
        if group not in GROUPS and group.removeprefix(PYMFE) not in (PYMFE_GROUPS if group.startswith(PYMFE) else ()):
            raise ArgumentError(
                "groups",
                expected=f"some of {list(GROUPS)}, or 'pymfe.' before one of pymfe's {list(PYMFE_GROUPS)}",
                got=repr(group),
                do="Leave it out for all of ours.",
            )
    table = prepared(X, y, scoring, categorical)
    if table.regression:
        return _of_targets(table.numbers, table.y, groups, np.random.default_rng(seed))
    X, y = table.numbers, table.y
    generator = np.random.default_rng(seed)
    found: Features = {}
    if "simple" in groups:
        found |= _named("simple", simple(X, y))
    rows, columns = _drawn(y, generator), generator.permutation(X.shape[1])[:COLUMNS]
    X, y = X[np.ix_(rows, np.sort(columns))], y[rows]
    Z = standardised(X)
    if "statistical" in groups:
        found |= _named("statistical", statistical(Z, y))
    if "information" in groups:
        found |= _named("information", information(Z, y))
    if "landmarking" in groups:
        found |= _named("landmarking", landmarking(Z, y, generator))
    if wanted := [group.removeprefix(PYMFE) for group in groups if group.startswith(PYMFE)]:
        found |= from_pymfe(Z, y, wanted, seed)
    return found


def _of_targets(X: np.ndarray, y: np.ndarray, groups: Sequence[str], generator: np.random.Generator) -> Features:
    """The meta-features of a table whose y is numbers."""
    if other := [group for group in groups if group not in GROUPS]:
        raise UnsupportedError(
            "groups", expected=f"some of {list(GROUPS)} for numbers to predict", got=repr(other[0]), do="Leave it out."
        )
    found = _named("simple", regression_features.simple(X, y)) if "simple" in groups else {}
    rows = np.sort(generator.permutation(len(y))[:ROWS])
    columns = np.sort(generator.permutation(X.shape[1])[:COLUMNS])
    Z, t = standardised(X[np.ix_(rows, columns)]), regression_features.standardised_target(y[rows])
    if "statistical" in groups:
        found |= _named("statistical", regression_features.statistical(Z, t))
    if "information" in groups:
        found |= _named("information", regression_features.information(Z, t))
    if "landmarking" in groups:
        found |= _named("landmarking", regression_features.landmarking(Z, t, generator))
    return found


def groups_of(names: Sequence[str]) -> list[str]:
    """The groups that the meta-features of these names belong to, in order."""
    return list(dict.fromkeys(".".join(name.split(".")[: 2 if name.startswith(PYMFE) else 1]) for name in names))


# ---- (1) ---------------------------------------------------------------------------------------------------------------


def simple(X: np.ndarray, y: np.ndarray) -> Features:
    """(1) of X (rows, columns), with NaN for missing values."""
    (n, d), p = X.shape, shares(y)
    distinct = np.array([len(np.unique(column[~np.isnan(column)])) for column in X.T])
    return {
        "log_rows": np.log(n),
        "log_columns": np.log(d),
        "log_classes": np.log(len(p)),
        "log_rows_per_column": np.log(n / d),
        "log_rarest_rows": np.log(n * p.min()),
        "missing": np.isnan(X).mean(),
        "binary": (distinct == 2).mean(),
        "discrete": ((distinct > 2) & (distinct <= min(10, n / 4))).mean(),
        "majority": p.max(),
        "minority": p.min(),
    }


# ---- (2) ---------------------------------------------------------------------------------------------------------------


def statistical(Z: np.ndarray, y: np.ndarray) -> Features:
    """(2) of standardised columns Z (rows, columns)."""
    n, d = Z.shape
    p, member = shares(y), one_hot(y)
    varies = (Z != 0).any(0)
    R = Z.T @ Z / n
    skewness, kurtosis = (Z[:, varies] ** 3).mean(0), (Z[:, varies] ** 4).mean(0) - 3
    r = np.abs(R[varies][:, varies][np.triu_indices(int(varies.sum()), 1)])
    variances = np.clip(np.linalg.eigvalsh(R)[::-1], 0, None)
    explained = variances.cumsum() / max(variances.sum(), 1e-12)
    low, high = np.quantile(Z, (0.25, 0.75), axis=0)
    fence = 1.5 * (high - low)
    M = member.T @ Z / (n * p)[:, None]  # class means
    between = (p[:, None] * M**2).sum(0)  # share of a column's variance that the class explains
    rho = canonical_correlations(R, M, p)
    within = np.sqrt(np.clip(member.T @ Z**2 / (n * p)[:, None] - M**2, 1e-6, None))  # (classes, columns)
    large, small = M[p.argmax()], M[len(p) - 1 - p[::-1].argmin()]
    return {
        "skewness_mean": _mean(np.abs(skewness)),
        "skewness_sd": _sd(skewness),
        "kurtosis_mean": _mean(kurtosis),
        "kurtosis_sd": _sd(kurtosis),
        "outliers": (np.abs(Z - (low + high) / 2) > (high - low) / 2 + fence).mean(),
        "zeros": 1 - varies.mean(),
        "correlation_mean": _mean(r),
        "correlation_sd": _sd(r),
        "correlated": _mean(r > 0.5),
        "components_95": (np.searchsorted(explained, 0.95) + 1) / d,
        "first_component": explained[0],
        "class_variance_mean": _mean(between),
        "class_variance_max": between.max(),
        "canonical_mean": _mean(rho),
        "canonical_max": rho.max(),
        "wilks_lambda": np.prod(1 - rho**2),
        "gravity": np.sqrt(((large - small) ** 2).mean()),
        "spread": _mean(np.abs(np.log(within[:, varies] / np.sqrt((p[:, None] * within[:, varies] ** 2).sum(0))))),
    }


def canonical_correlations(R: np.ndarray, M: np.ndarray, p: np.ndarray) -> np.ndarray:
    """rho, largest first, of min(columns, classes - 1): square roots of the eigenvalues of  R^+ M' diag(p) M.

    Found from the singular values of  diag(sqrt p) M R^{+1/2},  whose squares are these eigenvalues.
    """
    values, vectors = np.linalg.eigh(R)
    keep = values > 1e-8 * max(values[-1], 1e-12)
    whiten = vectors[:, keep] / np.sqrt(values[keep])
    rho = np.linalg.svd(np.sqrt(p)[:, None] * (M @ whiten), compute_uv=False)
    rank = max(1, min(int(keep.sum()), len(p) - 1))
    return np.clip(np.append(rho, np.zeros(rank))[:rank], 0, 1)


# ---- (3) ---------------------------------------------------------------------------------------------------------------


def information(Z: np.ndarray, y: np.ndarray) -> Features:
    """(3), in nats, of columns cut at their quantiles into at most 10 bins; as shares of H(y) to be free of units."""
    n = len(y)
    bins = int(np.clip(round(n ** (1 / 3)), 2, BINS))
    H_y = entropy(shares(y))
    H_x, mutual = np.empty(Z.shape[1]), np.empty(Z.shape[1])
    for j, column in enumerate(Z.T):
        edges = np.unique(np.quantile(column, np.arange(1, bins) / bins))
        cut = np.searchsorted(edges, column, side="right")
        joint = np.bincount(cut * (y.max() + 1) + y, minlength=bins * (y.max() + 1)).reshape(-1, y.max() + 1) / n
        H_x[j] = entropy(joint.sum(1))
        mutual[j] = max(H_x[j] + H_y - entropy(joint), 0.0)  # (3)
    share = mutual / H_y
    return {
        "class_entropy": H_y,
        "class_balance": H_y / np.log(y.max() + 1),
        "column_entropy": H_x.mean() / np.log(bins),
        "mutual_mean": share.mean(),
        "mutual_sd": share.std(),
        "mutual_max": share.max(),
        "log_equivalent_columns": np.log(H_y / max(mutual.mean(), 1e-3)),  # how many columns would determine the class
        "log_noise_to_signal": np.log(max((H_x.mean() - mutual.mean()) / max(mutual.mean(), 1e-3), 1e-3)),
    }


def entropy(p: np.ndarray) -> float:
    """- sum p log p, with 0 log 0 = 0."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


# ---- (4) ---------------------------------------------------------------------------------------------------------------


def landmarking(Z: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> Features:
    """(4): accuracies of nine fast learners on the same folds, each minus their mean, and the mean.

    A learner that cannot be fitted has the accuracy of predicting the most frequent class.
    """
    dealt, seed = folds(y, FOLDS, generator), int(generator.integers(2**31))
    return landmarks(LANDMARKERS, _accuracy, Z, y, dealt, seed)


def _accuracy(learner: Any, X: np.ndarray, y: np.ndarray, test_X: np.ndarray, test_y: np.ndarray) -> float:
    try:
        return float(np.mean(learner.fit(X, y).predict(test_X) == test_y))
    except (ValueError, np.linalg.LinAlgError):  # a covariance of one row, or of fewer rows than columns
        return float(np.mean(test_y == np.bincount(y).argmax()))


# ---- pymfe -------------------------------------------------------------------------------------------------------------


def from_pymfe(Z: np.ndarray, y: np.ndarray, groups: Sequence[str], seed: int) -> Features:
    """pymfe's meta-features "pymfe.group.name", summarised by mean and sd; 0 if it finds none.

    Raises:
        MissingPackageError: no pymfe.
    """
    MFE = package("pymfe.mfe", f"groups=['{PYMFE}{groups[0]}']", ", or use our own groups").MFE
    found: Features = {}
    with numpy_kept(), without_warnings:  # it seeds NumPy's own generator; what it cannot compute is NaN
        for group in groups:
            names, values = MFE(groups=[group], random_state=seed, suppress_warnings=True).fit(Z, y).extract()
            found |= {f"{PYMFE}{group}.{name}": _number(one) for name, one in zip(names, values, strict=True)}
    return found


# ---- small parts -------------------------------------------------------------------------------------------------------


def standardised(X: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1, missing values at the mean; a constant column is 0."""
    missing = np.isnan(X)
    count = np.maximum((~missing).sum(0), 1)
    X = np.where(missing, 0.0, X)
    X = np.where(missing, X.sum(0) / count, X)
    X = X - X.mean(0)
    largest = np.abs(X).max(0)
    X = np.divide(X, largest, out=np.zeros_like(X), where=largest > 0)  # so that squares neither overflow nor vanish
    X = X - X.mean(0)
    scale = X.std(0)
    return np.divide(X, scale, out=np.zeros_like(X), where=scale > 1e-8)


def shares(y: np.ndarray) -> np.ndarray:
    """p_k, the share of each class."""
    return np.bincount(y) / len(y)


def one_hot(y: np.ndarray) -> np.ndarray:
    """(rows, classes)."""
    return np.eye(int(y.max()) + 1)[y]


def _drawn(y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """All rows, or 1000 of them with at least two of every class."""
    if len(y) <= ROWS:
        return np.arange(len(y))
    order = generator.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    count = np.bincount(y)
    place = np.arange(len(y)) - np.repeat(count.cumsum() - count, count)  # of a row in its class
    first = np.maximum(np.ceil(ROWS * count / len(y)), 2)
    return np.sort(order[place < np.repeat(first, count)])


def _named(group: str, features: Features) -> Features:
    return {f"{group}.{name}": _number(value) for name, value in features.items()}


def _number(value: Any) -> float:
    """A finite float; 0 for any other."""
    number = float(np.real(value))
    return number if np.isfinite(number) else 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else 0.0


def _sd(values: np.ndarray) -> float:
    return float(values.std()) if values.size else 0.0
