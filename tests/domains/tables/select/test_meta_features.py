"""Meta-features against what they are by definition, against other packages, and under changes that must not matter."""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas
import pymfe.mfe as pymfe
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_wine
from sklearn.metrics import mutual_info_score
from sklearn.naive_bayes import GaussianNB

from quickstudy.domains.tables.select import meta_features
from quickstudy.domains.tables.select.inputs import folds
from quickstudy.domains.tables.select.meta_features import (
    GROUPS,
    LANDMARKERS,
    canonical_correlations,
    entropy,
    groups_of,
    information,
    shares,
    standardised,
    statistical,
)
from quickstudy.errors import ArgumentError, LabelError, MissingPackageError, NotFiniteError, ShapeError

QUICK = ("simple", "statistical", "information")


def table(rows: int = 60, columns: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return generator.normal(size=(rows, columns)) + 1.5 * generator.normal(size=(classes, columns))[y], y


def class_means(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([Z[y == k].mean(0) for k in range(y.max() + 1)])


def test_the_simple_ones_of_a_table_written_out():
    X = np.array([[0, 1.0, 5], [1, 2.0, 5], [0, np.nan, 5], [1, 4.5, 5], [0, 5.5, 5], [1, 6.5, 5]])
    found = meta_features(X, ["a", "a", "b", "b", "b", "b"], ["simple"])
    assert found == pytest.approx(
        {
            "simple.log_rows": math.log(6),
            "simple.log_columns": math.log(3),
            "simple.log_classes": math.log(2),
            "simple.log_rows_per_column": math.log(2),
            "simple.log_rarest_rows": math.log(2),
            "simple.missing": 1 / 18,
            "simple.binary": 1 / 3,
            "simple.discrete": 0.0,
            "simple.majority": 4 / 6,
            "simple.minority": 2 / 6,
        }
    )


def test_moments_are_those_of_scipy():
    X, y = table()
    X[:, 0] = np.exp(X[:, 0])
    found = statistical(standardised(X), y)
    skewness, kurtosis = stats.skew(X), stats.kurtosis(X)
    assert found["skewness_mean"] == pytest.approx(np.abs(skewness).mean())
    assert found["skewness_sd"] == pytest.approx(skewness.std())
    assert (found["kurtosis_mean"], found["kurtosis_sd"]) == pytest.approx((kurtosis.mean(), kurtosis.std()))
    r = np.abs(np.corrcoef(X.T)[np.triu_indices(4, 1)])
    assert (found["correlation_mean"], found["correlated"]) == pytest.approx((r.mean(), (r > 0.5).mean()))


def test_the_canonical_correlation_of_two_classes_is_that_of_a_regression():
    """rho^2 = R^2 of y on X, where y has two classes. Without whitening (R = I) it is another number: the control."""
    X, y = table(classes=2)
    X[:, 1] += 0.9 * X[:, 0]
    Z = standardised(X)
    fitted = Z @ np.linalg.lstsq(Z, y - y.mean(), rcond=None)[0]
    r2 = (fitted**2).sum() / ((y - y.mean()) ** 2).sum()
    rho = canonical_correlations(Z.T @ Z / len(y), class_means(Z, y), shares(y))
    assert rho.shape == (1,)
    assert rho[0] ** 2 == pytest.approx(r2, rel=1e-10)
    assert abs(canonical_correlations(np.eye(4), class_means(Z, y), shares(y))[0] ** 2 - r2) > 0.01


def test_wilks_lambda_is_a_ratio_of_determinants():
    X, y = table(classes=4)
    Z = standardised(X)
    within = sum(np.cov(Z[y == k].T, bias=True) * (y == k).mean() for k in range(4))
    expected = np.linalg.det(within) / np.linalg.det(Z.T @ Z / len(y))
    assert statistical(Z, y)["wilks_lambda"] == pytest.approx(expected, rel=1e-9)


def test_entropy_and_mutual_information():
    assert entropy(np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1.5 * math.log(2))
    y = np.arange(64) % 2
    same, other = y + 0.0, (np.arange(64) // 2 % 2) + 0.0
    found = information(standardised(np.stack([same, other], 1)), y)
    assert found["mutual_max"] == pytest.approx(1.0)  # the first column is the class
    assert found["mutual_mean"] == pytest.approx(0.5)  # the second says nothing
    assert found["class_entropy"] == pytest.approx(math.log(2))
    assert found["log_equivalent_columns"] == pytest.approx(math.log(2))


def test_mutual_information_is_that_of_scikit_learn():
    X, y = table(rows=125)
    Z = standardised(X)
    cuts = [np.searchsorted(np.quantile(z, np.arange(1, 5) / 5), z, side="right") for z in Z.T]  # 125^(1/3) bins
    expected = [mutual_info_score(cut, y) for cut in cuts]
    found = information(Z, y)
    assert found["mutual_mean"] * found["class_entropy"] == pytest.approx(np.mean(expected))
    assert found["mutual_max"] * found["class_entropy"] == pytest.approx(max(expected))


def test_what_pymfe_finds_too():
    X, y = load_wine(return_X_y=True)
    names = ["class_ent", "w_lambda", "nr_attr", "nr_inst", "can_cor"]
    theirs = dict(zip(*pymfe.MFE(features=names, summary=["mean"]).fit(X, y).extract(), strict=True))
    ours = meta_features(X, y, QUICK)
    assert ours["information.class_entropy"] == pytest.approx(theirs["class_ent"] * math.log(2))
    assert ours["statistical.wilks_lambda"] == pytest.approx(theirs["w_lambda"], rel=1e-3)
    assert ours["statistical.canonical_mean"] == pytest.approx(theirs["can_cor.mean"], rel=1e-3)
    assert math.exp(ours["simple.log_columns"]) == pytest.approx(theirs["nr_attr"])
    found = meta_features(X, y, ["simple", "pymfe.model-based"])
    assert found["pymfe.model-based.leaves"] >= 3
    assert groups_of(list(found)) == ["simple", "pymfe.model-based"]
    assert all(math.isfinite(value) for value in found.values())


def test_without_pymfe_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pymfe.mfe", None)
    with pytest.raises(
        MissingPackageError, match=r"`groups=\['pymfe\.concept'\]`: expected the package pymfe, .* pip install pymfe"
    ):
        meta_features(*table(), ["pymfe.concept"])


def test_without_scikit_learn_only_landmarks_are_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    assert len(meta_features(*table(), QUICK)) > 30
    with pytest.raises(MissingPackageError, match=r"pip install scikit-learn, or leave that group out\."):
        meta_features(*table(), ["landmarking"])


def test_landmarks():
    X, y = table(rows=90)
    found = meta_features(X, y, ["landmarking"])
    assert list(found) == list(meta_features(X, y, ["landmarking"], seed=5))
    assert found == meta_features(X, y, ["landmarking"])
    relative = [found[f"landmarking.{name}_relative"] for name in LANDMARKERS]
    assert sum(relative) == pytest.approx(0, abs=1e-12)
    assert found["landmarking.tree"] - found["landmarking.mean"] == pytest.approx(found["landmarking.tree_relative"])
    generator, Z = np.random.default_rng(0), standardised(X)
    generator.permutation(4)  # the columns, of which none is left out
    dealt = folds(y, 5, generator)
    by_hand = np.mean([GaussianNB().fit(Z[own], y[own]).score(Z[asked], y[asked]) for own, asked in dealt])
    assert found["landmarking.naive_bayes"] == pytest.approx(by_hand)
    assert found["landmarking.random_node"] <= found["landmarking.best_node"] < found["landmarking.tree"]


def test_a_landmark_tells_what_it_is_meant_to():
    """A ring around a blob: neighbours see it, a straight line does not."""
    generator = np.random.default_rng(0)
    angle, y = generator.uniform(0, 2 * np.pi, 120), np.arange(120) % 2
    X = np.stack([np.cos(angle), np.sin(angle)], 1) * (0.3 + y)[:, None]
    found = meta_features(X, y, ["landmarking"])
    assert found["landmarking.nearest_neighbour"] == 1.0
    assert found["landmarking.linear_discriminant"] < 0.75


@pytest.mark.parametrize("change", ["rows", "scale", "columns", "classes"])
def test_what_must_not_matter(change: str):
    X, y = table()
    before = meta_features(X, y, QUICK)
    generator = np.random.default_rng(1)
    if change == "rows":
        order = generator.permutation(len(y))
        X, y = X[order], y[order]
    if change == "scale":
        X = X * np.exp(5 * generator.normal(size=4)) + 100
    if change == "columns":
        X = X[:, [3, 0, 2, 1]]
    after = meta_features(X, np.array(["z", "a", "k"])[y] if change == "classes" else y, QUICK)
    assert (
        after.pop("statistical.gravity") >= 0
    )  # classes are of one size: which are the largest and the smallest is no more said
    before.pop("statistical.gravity")
    assert after == pytest.approx(before, abs=1e-8)
    assert after != meta_features(X**3, y, QUICK)  # and what must


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((8, 3)),
        np.full((8, 2), np.nan),
        np.arange(8.0)[:, None],
        1e200 * np.random.default_rng(0).normal(size=(8, 3)),
        1e-200 * np.random.default_rng(0).normal(size=(8, 3)),
        np.random.default_rng(0).normal(size=(8, 40)),
        np.where(np.eye(8) > 0, np.nan, 1.0),
    ],
    ids=["zeros", "nothing", "one column", "huge", "tiny", "wide", "a hole a row"],
)
def test_every_table_has_finite_ones(X: np.ndarray):
    found = meta_features(X, [0, 0, 0, 0, 1, 1, 2, 2])
    assert all(math.isfinite(value) for value in found.values())
    assert groups_of(list(found)) == list(GROUPS)
    assert list(found) == list(meta_features(*table()))  # the same names for every table


def test_of_a_large_table_rows_are_drawn_and_rare_classes_kept():
    generator = np.random.default_rng(0)
    y = np.r_[np.zeros(2995), np.ones(2), np.full(3, 2)].astype(int)
    found = meta_features(generator.normal(size=(3000, 2)), y, QUICK)
    assert found["simple.log_rows"] == pytest.approx(math.log(3000))
    p = np.array([999, 2, 2]) / 1003  # ceil(1000 * 2995 / 3000), and two of the others
    assert found["information.class_entropy"] == pytest.approx(entropy(p))


def test_tensors_frames_and_lists():
    X, y = table()
    before = meta_features(X, y, QUICK)
    assert meta_features(torch.from_numpy(X), torch.from_numpy(y), QUICK) == before
    assert meta_features(X.tolist(), [f"class {k}" for k in y], QUICK) == before
    assert meta_features(pandas.DataFrame(X, columns=list("abcd")), pandas.Series(y), QUICK) == before


@pytest.mark.parametrize(
    ("X", "y", "kind", "message"),
    [
        (np.zeros(6), [0, 1] * 3, ShapeError, r"`X, y`: expected X \(rows, columns\) .* got \(6,\) and \(6,\)"),
        (np.zeros((6, 0)), [0, 1] * 3, ShapeError, r"with a column or more"),
        (np.zeros((6, 2)), [0, 1], ShapeError, r"got \(6, 2\) and \(2,\)"),
        (
            [[1, 1j]] * 6,
            [0, 1] * 3,
            ArgumentError,
            r"`X`: expected a column of numbers, or of text, got 1j in column 1\. Turn it",
        ),
        (np.full((6, 2), np.inf), [0, 1] * 3, NotFiniteError, r"`X`: .* got infinity\. Write NaN"),
        (np.zeros((6, 2)), [0.5] * 6, LabelError, r"expected two different numbers or more, got 6 rows, all alike"),
        (
            np.zeros((6, 2)),
            [0, 1, 1, 2, 2, 3],
            LabelError,
            r"got one of 0\. .*, or take scoring='r2' where y is a number to predict",
        ),
        (np.zeros((6, 2)), [0, np.nan] * 3, LabelError, r"expected a label for every row"),
        (np.zeros((6, 2)), [None, "a"] * 3, LabelError, r"expected a label for every row"),
        (
            np.zeros((6, 2)),
            np.array([1, "a"] * 3, dtype=object),
            LabelError,
            r"expected labels of one kind, got text among numbers",
        ),
        (np.zeros((6, 2)), [1] * 6, LabelError, r"expected two classes or more, got 1"),
        (np.zeros((6, 2)), ["a"] * 5 + ["b"], LabelError, r"expected two rows of every class, got one of 'b'"),
    ],
)
def test_what_is_no_table(X, y, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        meta_features(X, y)


def test_an_unknown_group():
    for group in ("statistics", "pymfe.statistics", "model-based"):
        with pytest.raises(ArgumentError, match=rf"`groups`: expected some of .* got '{group}'"):
            meta_features(*table(), [group])
    assert meta_features(*table(), ["simple"]).keys() == {name for name in meta_features(*table()) if name.startswith("simple.")}
