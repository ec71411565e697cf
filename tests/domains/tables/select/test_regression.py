"""Numbers to predict: regressors, their scorings and meta-features; on real tables, beside controls."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import get_scorer, ndcg_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.needs import needs

from quickstudy import select
from quickstudy.domains.tables.select import Candidate, Recommender, grid
from quickstudy.domains.tables.select import search as search_function
from quickstudy.domains.tables.select.candidates import cross_validated, score
from quickstudy.domains.tables.select.inputs import folds, prepared, strata
from quickstudy.domains.tables.select.regression_features import LANDMARKERS, standardised_target
from quickstudy.domains.tables.select.regression_tables import REGRESSION_FAMILIES, draw_regression
from quickstudy.domains.tables.select.scoring import SCORINGS, ndcg, scorer, spearman
from quickstudy.domains.tables.select.spaces import LEARNERS
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, UnsupportedError

REGRESSORS = [name for name, space in LEARNERS.items() if space.regression]
RIDGE, STEP = Candidate("ridge", {"alpha": 1.0}), Candidate("decision_tree_regressor", {"min_samples_leaf": 1})
FAST = [one for one in grid(regression=True) if one.learner in ("ridge", "svm_regressor", "gradient_boosting_regressor")]
NUMBERS = [name for name, one in SCORINGS.items() if one.regression]


def diabetes(rows: int = 300):
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    return X[:rows], y[:rows], X[rows:], y[rows:]


def test_the_grid_has_every_regressor():
    candidates = grid(regression=True)
    assert len(candidates) == len(set(candidates)) == 33
    assert {one.learner for one in candidates} == set(REGRESSORS)
    assert not set(candidates) & set(grid())


@pytest.mark.parametrize("learner", REGRESSORS)
def test_every_regressor_learns_and_repeats_whatever_the_unit_of_y(learner):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(150, 3))
    y = X[:, 0] + np.abs(X[:, 1])
    for candidate in [one for one in grid(regression=True) if one.learner == learner][::3]:
        found = [score(candidate, X[:100], y[:100], X[100:], y[100:], scoring="r2", seed=3) for _ in range(2)]
        assert found[0] == found[1] > 0.25, str(candidate)
        other = score(candidate, X[:100], 1000 * y[:100] + 5, X[100:], 1000 * y[100:] + 5, scoring="r2", seed=3)
        assert other == pytest.approx(found[0], abs=0.05)


@pytest.mark.parametrize("scoring", NUMBERS)
def test_a_score_is_that_of_scikit_learn(scoring):
    X, y, *_ = diabetes()
    table = prepared(X, y, scoring)
    dealt = folds(strata(y, regression=True), 4, np.random.default_rng(2))
    assert sorted(np.concatenate([asked for _, asked in dealt]).tolist()) == list(range(300))
    pipeline = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
    expected = cross_val_score(pipeline, X, y, cv=dealt, scoring=scorer(scoring)).mean()
    assert cross_validated(RIDGE, table, 4, seed=2) == pytest.approx(expected)
    if scoring not in ("spearman", "ndcg"):
        assert cross_val_score(pipeline, X, y, cv=dealt, scoring=get_scorer(scoring)).mean() == pytest.approx(expected)


def test_the_ranking_metrics_by_definition():
    generator = np.random.default_rng(0)
    y, predicted = generator.integers(5, size=40).astype(float), generator.normal(size=40)
    assert spearman(y, predicted) == pytest.approx(stats.spearmanr(y, predicted).statistic)
    assert spearman(y, np.exp(3 * y)) == pytest.approx(1)
    assert spearman(y, np.zeros(40)) == 0.0
    assert ndcg(y, predicted) == pytest.approx(ndcg_score(y[None], predicted[None]))
    assert ndcg(y, y) == pytest.approx(1)


def test_what_y_is():
    X, y, *_ = diabetes(60)
    assert prepared(X, y + 0.5).scoring == "r2"
    assert prepared(X, y, "r2").regression
    assert prepared(X, (y > 100).astype(float)).scoring == "accuracy"
    with pytest.raises(LabelError, match=r"take scoring='r2' where y is a number to predict"):
        prepared(X, y)
    with pytest.raises(LabelError, match=r"expected labels of classes for scoring='accuracy', got fractions\. Take scoring='r2'"):
        prepared(X, y + 0.5, "accuracy")
    with pytest.raises(LabelError, match=r"expected numbers to predict, got could not convert"):
        prepared(X, ["a", "b"] * 30, "r2")
    with pytest.raises(NotFiniteError, match=r"`y`: expected finite numbers"):
        prepared(X, np.where(y > 200, np.nan, y), "r2")
    with pytest.raises(LabelError, match=r"expected gains of 0 or more for scoring='ndcg', got -"):
        prepared(X, -y, "ndcg")
    with pytest.raises(ArgumentError, match=r"`scoring`: expected one of .*, got 'r3'\. .*r2"):
        prepared(X, y, "r3")


def test_recommend_fit_and_search_on_diabetes():
    """Better than the mean, the control, by three scorings; and about as good as the best of many candidates."""
    X, y, new_X, new_y = diabetes()
    ranked = select.recommend(X, y, scoring="r2")
    assert len(ranked) == 5
    assert all(one.candidate.regression for one in ranked)
    assert {one.candidate for one in select.recommend(X, y, None, scoring="spearman")} == set(grid(regression=True))
    for scoring in ("r2", "neg_mean_absolute_error", "spearman"):
        judge = scorer(scoring)
        model = select.fit(X, y, k=2, folds=3, scoring=scoring)
        control = DummyRegressor().fit(X, y)
        best = max(score(one, X, y, new_X, new_y, scoring=scoring) for one in FAST)
        got, least = judge(model, new_X, new_y), judge(control, new_X, new_y)
        assert got > least + 0.6 * (best - least)
    found = search_function(X, y, trials=3, k=2, folds=2, scoring="neg_mean_absolute_error")
    assert found.score == max(trial.score for trial in found.trials) < 0
    assert all(trial.candidate.regression for trial in found.trials)
    assert scorer("r2")(found.estimator, new_X, new_y) > 0.3


def test_the_scoring_decides_which_is_best():
    """Of the same candidates, one has the smaller median error and one the smaller squared error: a few wild targets."""
    generator = np.random.default_rng(0)
    X = generator.uniform(-2, 2, size=(200, 1))
    y = np.round(X[:, 0]) + np.where(generator.random(200) < 0.08, 60.0, 0.0)
    recommender = Recommender().fit(preferred(STEP, RIDGE))
    by = {
        scoring: type(select.fit(X, y, k=2, scoring=scoring, recommender=recommender).steps[-1][1]).__name__
        for scoring in ("neg_median_absolute_error", "neg_root_mean_squared_error")
    }
    assert by == {
        "neg_median_absolute_error": "DecisionTreeRegressor",
        "neg_root_mean_squared_error": "TransformedTargetRegressor",
    }


def preferred(*candidates: Candidate) -> select.Results:
    scores = np.tile(0.9 - 0.02 * np.arange(len(candidates)), (4, 1))
    values = np.arange(4.0)[:, None]
    return select.Results(candidates, ("simple.log_rows",), tuple("abcd"), ("p", "p", "q", "q"), values, scores, "r2")


def test_a_recommender_of_classifiers_is_none_of_regressors():
    X, y, *_ = diabetes(60)
    with pytest.raises(
        ArgumentError, match=r"expected one fitted to results that scoring='accuracy' can use, got one of regressors"
    ):
        select.recommend(X, y > 100, recommender=Recommender().fit(preferred(STEP, RIDGE)))
    with pytest.raises(ArgumentError, match=r"expected candidates that 'r2' can score, got logistic_regression"):
        select.Results((grid()[0],), ("f",), ("a",), ("p",), np.zeros((1, 1)), np.ones((1, 1)), "r2")


def test_meta_features_of_targets():
    X, y, *_ = diabetes()
    found = select.meta_features(X, y, scoring="r2")
    assert all(np.isfinite(value) for value in found.values())
    plain = least_squares(X, y)
    assert found["statistical.least_squares"] == pytest.approx(plain)
    correlations = np.abs(np.corrcoef(np.c_[X, y].T)[-1, :-1])
    assert found["statistical.with_target_max"] == pytest.approx(correlations.max())
    assert found["statistical.by_rank_max"] == pytest.approx(max(abs(stats.spearmanr(x, y).statistic) for x in X.T), abs=0.02)
    assert found["statistical.target_skewness"] == pytest.approx(stats.skew(y))
    assert {f"landmarking.{name}" for name in LANDMARKERS} <= set(found)
    moved = select.meta_features(X * 7 - 3, 100 * y + 9, ["simple", "statistical", "information"], scoring="r2")
    assert moved == pytest.approx({name: found[name] for name in moved}, abs=1e-6)
    noise = select.meta_features(X, np.random.default_rng(0).permutation(y), scoring="r2")
    assert noise["landmarking.ridge"] < 0.1 < 0.3 < found["landmarking.ridge"], "the control"
    assert noise["information.mutual_max"] < found["information.mutual_max"]
    with pytest.raises(UnsupportedError, match=r"`groups`: .* numbers to predict, got 'pymfe.general'"):
        select.meta_features(X, y, ["pymfe.general"], scoring="r2")


def least_squares(X, y):
    full = np.c_[X, np.ones(len(y))]
    return 1 - ((y - full @ np.linalg.lstsq(full, y, rcond=None)[0]) ** 2).mean() / y.var()


def test_a_target_is_standardised_at_any_scale():
    for scale in (1e-200, 1.0, 1e200):
        t = standardised_target(scale * np.array([1.0, 2.0, 4.0]))
        assert (t.mean(), t.std()) == (pytest.approx(0, abs=1e-12), pytest.approx(1))


@pytest.mark.parametrize("family", REGRESSION_FAMILIES)
def test_drawn_tables_can_be_learned(family):
    table, again = draw_regression(family, 3), draw_regression(family, 3)
    assert (table.X == again.X).all()
    assert (table.y == again.y).all()
    assert len(table.X) == len(table.y) >= 50
    assert not (draw_regression(family, 4).y[:20] == table.y[:20]).all()
    best = [
        max(score(one, t.X, t.y, t.test_X, t.test_y, scoring="r2") for one in FAST)
        for t in (draw_regression(family, number) for number in range(4))
    ]
    assert max(best) > 0.3
    assert min(best) > -0.2


def test_an_unknown_family():
    with pytest.raises(ArgumentError, match=r"`family`: expected one of \['diabetes', .*, got 'iris'"):
        draw_regression("iris")


def test_the_shipped_results_of_regressors():
    found = select.shipped(regression=True)
    assert found.scoring == "r2"
    assert found.candidates == tuple(grid(regression=True))
    assert set(found.families) == set(REGRESSION_FAMILIES)
    assert len(found) >= 100
    table = draw_regression("sparse", 1)
    row = found.names.index("sparse 1")
    fast = [index for index, one in enumerate(found.candidates) if one.learner in ("ridge", "decision_tree_regressor")]
    today = select.measure([table], [found.candidates[index] for index in fast])
    assert today.scores[0] == pytest.approx(found.scores[row, fast], abs=0.005)
    assert today.features == found.features


def test_the_shipped_recommender_of_regressors_knows_more_than_the_average():
    found = select.shipped(regression=True)
    S = -np.minimum(found.filled().max(1, keepdims=True) - found.filled(), 0.1)
    families = np.array(found.families)
    average = np.concatenate([S[families == one] - S[families != one].mean(0) for one in REGRESSION_FAMILIES])
    assert Recommender().fit(found).error < 0.97 * np.sqrt((average**2).mean())


def test_a_saved_recommender_keeps_its_scoring(tmp_path):
    X, y, *_ = diabetes(80)
    own = Recommender().fit(preferred(STEP, RIDGE))
    own.save(tmp_path / "r")
    assert Recommender.load(tmp_path / "r").scoring == "r2"
    assert Recommender.load(tmp_path / "r").recommend(X, y + 0.5) == own.recommend(X, y + 0.5)
    results = preferred(STEP, RIDGE)
    results.save(tmp_path / "results.json")
    assert select.Results.load(tmp_path / "results.json").scoring == "r2"


def test_patients_are_categories():
    """42 patients' UPDRS from their voice: the patient's number as a category tells more than as a number, the control."""
    frame = pandas.read_csv(needs("the Parkinson's recordings") / "parkinsons_updrs.data").sample(500, random_state=0)
    X, y = frame.drop(columns=["motor_UPDRS", "total_UPDRS", "test_time"]), frame["total_UPDRS"].to_numpy()
    recommender = Recommender().fit(preferred(RIDGE))
    errors = []
    for categorical in (["subject#"], []):
        model = select.fit(X[:350], y[:350], k=1, categorical=categorical, recommender=recommender)
        errors.append(float(np.abs(model.predict(X[350:]) - y[350:]).mean()))
    mean = float(np.abs(y[350:] - y[:350].mean()).mean())
    assert errors[0] < 0.75 * errors[1] < 0.75 * mean
