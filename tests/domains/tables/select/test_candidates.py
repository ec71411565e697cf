"""Candidates: every one of the grid can be fitted, what is out of range is refused, and a fit that fails is a score."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quickstudy.domains.tables.select.candidates import Candidate, cross_validated, grid, score
from quickstudy.domains.tables.select.inputs import folds, prepared
from quickstudy.domains.tables.select.spaces import LEARNERS
from quickstudy.errors import ArgumentError, MissingPackageError
from quickstudy.records import RecordError, record

TREE = Candidate("decision_tree", {"min_samples_leaf": 1})
LOGISTIC = Candidate("logistic_regression", {"C": 1.0})


def blobs(rows: int = 60, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = np.arange(rows) % 3
    return generator.normal(size=(rows, columns)) + 3 * np.eye(3, columns)[y], y


def test_the_grid_has_every_learner_and_no_candidate_twice():
    candidates = grid()
    assert len(candidates) == len(set(candidates)) == 42
    assert {one.learner for one in candidates} == {name for name, space in LEARNERS.items() if not space.regression}
    assert [record(Candidate, one.to_dict()) for one in candidates] == candidates


@pytest.mark.parametrize("learner", [name for name, space in LEARNERS.items() if not space.regression])
def test_every_learner_learns_and_repeats(learner: str):
    X, y = blobs()
    for candidate in [one for one in grid() if one.learner == learner][::3]:
        scores = [score(candidate, X[:45], y[:45], X[45:], y[45:], seed=3) for _ in range(2)]
        assert scores[0] == scores[1] > 0.6, str(candidate)  # 1/3 is chance


def test_accuracy_is_that_of_scikit_learn():
    """With the same pipeline and folds; and with columns that are not standardised it is another: the control."""
    X, y = blobs()
    X = X * [1, 1e-3, 1e3]
    dealt = folds(y, 4, np.random.default_rng(2))
    plain = LogisticRegression(C=1.0, max_iter=500)
    expected = cross_val_score(make_pipeline(StandardScaler(), clone(plain)), X, y, cv=dealt).mean()
    assert cross_validated(LOGISTIC, prepared(X, y), 4, seed=2) == pytest.approx(expected)
    candidate = Candidate("nearest_neighbours", {"n_neighbors": 5, "weights": "uniform"})
    raw = clone(candidate.estimator().steps[-1][1])
    assert cross_val_score(raw, X, y, cv=dealt).mean() != pytest.approx(cross_validated(candidate, prepared(X, y), 4, seed=2))


def test_missing_values_are_filled():
    X, y = blobs()
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    holes[:, 2] = np.nan
    assert score(LOGISTIC, holes[:45], y[:45], holes[45:], y[45:]) > 0.5


def test_a_fit_that_fails_is_no_crash():
    """More columns than rows of a class: a covariance of full rank there is not."""
    X, y = blobs(rows=12, columns=30)
    candidate = Candidate("nearest_neighbours", {"n_neighbors": 50, "weights": "uniform"})
    assert np.isnan(score(candidate, X, y, X, y))
    assert np.isnan(cross_validated(candidate, prepared(X, y), 3))
    assert not np.isnan(cross_validated(TREE, prepared(X, y), 3))


def test_folds_are_even_and_leave_every_class():
    codes = np.r_[np.zeros(17), np.ones(4), np.full(3, 2)].astype(int)
    dealt = folds(codes, 3, np.random.default_rng(0))
    assert sorted(np.concatenate([asked for _, asked in dealt]).tolist()) == list(range(24))
    for own, asked in dealt:
        assert not set(own) & set(asked)
        assert len(asked) == 8
        assert set(codes[own]) == {0, 1, 2} == set(codes[asked])
    assert len(folds(np.array([0, 0, 0, 1, 1]), 5, np.random.default_rng(0))) == 2  # the rarest class has two
    again = folds(codes, 3, np.random.default_rng(0))
    assert all(np.array_equal(a, b) for pair, other in zip(dealt, again, strict=True) for a, b in zip(pair, other, strict=True))


@pytest.mark.parametrize(
    ("learner", "parameters", "message"),
    [
        ("os.system", {}, r"`learner`: expected one of \['logistic_regression', .* got 'os\.system'"),
        ("svm", {"C": 1.0}, r"`svm's parameters`: expected \['C', 'gamma'\], got \['C'\]"),
        ("decision_tree", {"min_samples_leaf": 1, "criterion": "gini"}, r"got \['criterion', 'min_samples_leaf'\]"),
        ("decision_tree", {"min_samples_leaf": 0}, r"`decision_tree's min_samples_leaf`: expected .*, got 0"),
        ("decision_tree", {"min_samples_leaf": 2.0}, r"got 2\.0"),
        ("decision_tree", {"min_samples_leaf": True}, r"got True"),
        ("logistic_regression", {"C": float("nan")}, r"got nan"),
        ("logistic_regression", {"C": "1"}, r"got '1'"),
        ("random_forest", {"max_features": 1, "min_samples_leaf": 1}, r"`random_forest's max_features`: .* got 1"),
    ],
)
def test_what_is_no_candidate(learner: str, parameters: dict, message: str):
    with pytest.raises(ArgumentError, match=message):
        Candidate(learner, parameters)


@pytest.mark.wrong_types
@pytest.mark.parametrize("spec", [None, [], {}, {"learner": "svm"}, {"learner": "svm", "parameters": [1]}, {"class": "svm"}])
def test_what_cannot_be_read(spec):
    with pytest.raises(RecordError, match=r"expected (a mapping|the field|the fields)"):
        record(Candidate, spec)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "sklearn.impute", None)
    with pytest.raises(MissingPackageError, match=r"`select`: expected the package scikit-learn, got none installed"):
        TREE.estimator()
