"""quickstudy.domains.tables.select as it is used: ranked, fitted, searched; and what is lazily imported."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import optuna
import pandas
import pytest
import torch
from sklearn.datasets import load_wine

from quickstudy import select
from quickstudy.domains.tables.select import Candidate, Recommender, Results
from quickstudy.domains.tables.select import search as search_function
from quickstudy.domains.tables.select.candidates import grid
from quickstudy.domains.tables.select.search import parameters_of, suggested
from quickstudy.domains.tables.select.spaces import LEARNERS
from quickstudy.errors import ArgumentError, ConvergenceError, LabelError, MissingPackageError

TREE, NEIGHBOURS = Candidate("decision_tree", {"min_samples_leaf": 1}), Candidate("naive_bayes", {"var_smoothing": 1e-9})
BROKEN = Candidate("nearest_neighbours", {"n_neighbors": 50, "weights": "uniform"})  # more than there are rows


def wine(rows: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], np.array(["red", "rose", "white"])[y[order]]
    return X[:rows], y[:rows], X[rows:], y[rows:]


def preferring(*candidates: Candidate) -> Recommender:
    """A recommender that knows these candidates alone, the first as the best everywhere. One simple meta-feature: it is quick."""
    scores = np.tile(0.9 - 0.02 * np.arange(len(candidates)), (4, 1))
    values = np.arange(4.0)[:, None]
    return Recommender().fit(
        Results(tuple(candidates), ("simple.log_rows",), tuple("abcd"), ("p", "p", "q", "q"), values, scores)
    )


def test_recommend_works_as_it_comes():
    X, y, *_ = wine()
    ranked = select.recommend(X, y)
    assert len(ranked) == 5
    assert all(one.shortfall <= 0.1 for one in ranked)
    assert [one.shortfall for one in ranked] == sorted(one.shortfall for one in ranked)
    assert ranked == select.recommend(torch.from_numpy(X), y.tolist())
    everything = select.recommend(X, y, k=None)
    assert {one.candidate for one in everything} == set(grid())
    assert everything[:5] == ranked
    model = ranked[0].estimator().fit(X, y)
    assert set(model.predict(X)) == {"red", "rose", "white"}


def test_fit_is_a_classifier():
    X, y, new_X, new_y = wine()
    model = select.fit(X, y)
    assert (model.predict(new_X) == new_y).mean() > 0.9
    assert (select.fit(X, y).predict(new_X) == model.predict(new_X)).all()
    assert model.classes_.tolist() == ["red", "rose", "white"]
    first = select.fit(X, y, k=1)
    assert str(first.steps[-1][1]) == str(select.recommend(X, y, 1)[0].estimator().steps[-1][1])


def test_fit_chooses_by_cross_validation():
    """The recommender prefers a tree, which naive Bayes beats on wine: with k=1 the tree, with k=2 the better."""
    X, y, *_ = wine()
    recommender = preferring(TREE, NEIGHBOURS)
    names = [type(select.fit(X, y, k=k, recommender=recommender).steps[-1][1]).__name__ for k in (1, 2)]
    assert names == ["DecisionTreeClassifier", "GaussianNB"]


def test_fit_passes_over_what_cannot_be_fitted():
    X, y, *_ = wine(40)
    assert type(select.fit(X, y, k=2, recommender=preferring(BROKEN, TREE)).steps[-1][1]).__name__ == "DecisionTreeClassifier"
    worse = Candidate("nearest_neighbours", {"n_neighbors": 50, "weights": "distance"})
    with pytest.raises(ConvergenceError, match=r"`select\.fit`: expected a candidate that can be fitted, got 2 that"):
        select.fit(X, y, k=2, recommender=preferring(BROKEN, worse))


def test_a_frame_keeps_the_names_of_its_columns():
    X, y, _new_X, _ = wine()
    frame = pandas.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    model = select.fit(frame, y, k=1, recommender=preferring(TREE))
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert len(model.predict(frame)) == len(y)


def test_every_candidate_of_the_grid_lies_in_the_search_space():
    """What is enqueued is what is tried, for all 42."""
    for candidate in grid():
        assert suggested(optuna.trial.FixedTrial(parameters_of(candidate)), list(LEARNERS)) == candidate


def test_search_begins_with_what_is_recommended():
    X, y, new_X, new_y = wine()
    recommender = preferring(TREE, NEIGHBOURS)
    found = search_function(X, y, trials=6, k=2, recommender=recommender)
    assert [trial.candidate for trial in found.trials[:2]] == [TREE, NEIGHBOURS]
    assert [trial.recommended for trial in found.trials] == [True, True, False, False, False, False]
    assert found.score == max(trial.score for trial in found.trials)
    assert found.best == next(trial.candidate for trial in found.trials if trial.score == found.score)
    assert (found.estimator.predict(new_X) == new_y).mean() > 0.85
    assert len(found.study.trials) == 6
    again = search_function(X, y, trials=6, k=2, recommender=recommender)
    assert again.trials == found.trials


def test_a_candidate_that_cannot_be_fitted_scores_0():
    X, y, *_ = wine(40)
    found = search_function(X, y, trials=2, k=2, recommender=preferring(BROKEN, TREE))
    assert next(trial.score for trial in found.trials) == 0.0
    assert found.best == TREE
    with pytest.raises(ConvergenceError, match=r"`select\.search`: .* got 1 tried, none with success"):
        search_function(X, y, trials=1, k=1, recommender=preferring(BROKEN))


def test_optuna_is_quiet_and_left_as_it_was(capfd: pytest.CaptureFixture):
    X, y, *_ = wine(40)
    before = optuna.logging.get_verbosity()
    search_function(X, y, trials=1, k=1, recommender=preferring(TREE))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    X, y, *_ = wine(40)
    message = r"`select\.search`: expected the package optuna, .* pip install optuna, or use select\.fit"
    with pytest.raises(MissingPackageError, match=message):
        search_function(X, y)


def test_bad_arguments():
    X, y, *_ = wine(40)
    for name, value in (("trials", 0), ("k", 0), ("folds", 1)):
        with pytest.raises(ArgumentError, match=rf"`{name}`: expected {1 + (name == 'folds')} or more, got {value}"):
            search_function(X, y, **{name: value})
    with pytest.raises(ArgumentError, match=r"`folds`: expected 2 or more, got 1"):
        select.fit(X, y, folds=1)
    with pytest.raises(ArgumentError, match=r"`k`: expected 1 or more, or None, got 0"):
        select.fit(X, y, k=0)
    with pytest.raises(LabelError, match=r"expected two rows of every class"):
        select.fit(X, np.arange(40))


def test_importing_it_imports_no_scikit_learn():
    code = "import json, sys; from quickstudy import select; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"sklearn", "optuna", "pymfe", "pandas", "scipy"} & set(json.loads(done.stdout))
