"""Scorings of classes: scikit-learn's numbers, and that the choice follows them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import get_scorer

from quickstudy import select
from quickstudy.domains.tables.select import Candidate, Recommender, grid
from quickstudy.domains.tables.select.candidates import cross_validated, score
from quickstudy.domains.tables.select.inputs import folds, prepared
from quickstudy.domains.tables.select.scoring import SCORINGS
from quickstudy.errors import LabelError

TREE, LOGISTIC = Candidate("decision_tree", {"min_samples_leaf": 5}), Candidate("logistic_regression", {"C": 1.0})
NEAREST, SMOOTH = (Candidate("nearest_neighbours", {"n_neighbors": n, "weights": "uniform"}) for n in (1, 15))


@pytest.mark.parametrize("scoring", [name for name, one in SCORINGS.items() if not one.regression])
def test_a_score_is_that_of_scikit_learn(scoring):
    X, y = (load_breast_cancer if SCORINGS[scoring].two else load_wine)(return_X_y=True)
    dealt = folds(y, 3, np.random.default_rng(1))
    expected = [get_scorer(scoring)(TREE.estimator(1).fit(X[own], y[own]), X[asked], y[asked]) for own, asked in dealt]
    assert cross_validated(TREE, prepared(X, y, scoring), 3, seed=1) == pytest.approx(np.mean(expected))
    assert score(TREE, X, y, X, y, scoring=scoring) > np.mean(expected)


def test_two_classes_are_asked_for():
    X, y = load_wine(return_X_y=True)
    with pytest.raises(LabelError, match=r"`y`: expected two classes for scoring='roc_auc', got 3\. Take 'roc_auc_ovr'"):
        select.recommend(X, y, scoring="roc_auc")


def test_candidates_without_probabilities_are_left_out_where_they_are_needed():
    X, y = load_wine(return_X_y=True)
    learners = {one.candidate.learner for one in select.recommend(X, y, None, scoring="neg_log_loss")}
    assert learners == {one.learner for one in grid()} - {"svm"}
    assert {one.candidate.learner for one in select.recommend(X, y, None, scoring="balanced_accuracy")} == learners | {"svm"}
    model = select.fit(X, y, scoring="neg_log_loss", k=2, folds=3)
    assert model.predict_proba(X).shape == (178, 3)


def preferring(*candidates: Candidate) -> Recommender:
    scores = np.tile(0.9 - 0.02 * np.arange(len(candidates)), (4, 1))
    values = np.arange(4.0)[:, None]
    return Recommender().fit(
        select.Results(tuple(candidates), ("simple.log_rows",), tuple("abcd"), ("p", "p", "q", "q"), values, scores)
    )


def test_balanced_accuracy_chooses_the_one_that_finds_the_rare_class():
    """40 of 400 rows are rare and lie among the others: 15 neighbours never say so, one neighbour does. Accuracy, the control,
    prefers the 15.
    """
    generator = np.random.default_rng(0)
    y = np.r_[np.zeros(360), np.ones(40)].astype(int)
    X = generator.normal(size=(400, 2)) + 0.9 * y[:, None]
    recommender = preferring(NEAREST, SMOOTH)
    chosen = {
        scoring: select.fit(X, y, k=2, scoring=scoring, recommender=recommender).steps[-1][1].n_neighbors
        for scoring in ("accuracy", "balanced_accuracy", "roc_auc")
    }
    assert chosen == {"accuracy": 15, "balanced_accuracy": 1, "roc_auc": 15}


def test_a_search_by_a_negative_score_tells_failure_from_the_best():
    X, y = load_wine(return_X_y=True)
    broken = Candidate("nearest_neighbours", {"n_neighbors": 50, "weights": "uniform"})  # more than there are rows
    found = select.search(
        X[::5], y[::5], trials=2, k=2, folds=2, scoring="neg_log_loss", recommender=preferring(broken, LOGISTIC)
    )
    assert found.best == LOGISTIC
    assert found.trials[0].score == -np.inf < found.score < 0
