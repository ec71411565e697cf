"""scikit-learn's own conformance suite, every check a test."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from quickstudy.learners.transfer.nearest_centroid import NearestCentroid
from quickstudy.learners.wrap.standardised import Standardised
from quickstudy.sklearn import FewShotClassifier, FewShotRegressor

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py

EXPECTED_FAILURES: dict[str, str] = {}  # the name of a check: why it must fail. At most three; none is needed.


def expected(estimator):
    return EXPECTED_FAILURES


@pytest.mark.wrong_types  # one of the checks builds it with -1 for every argument
@parametrize_with_checks([FewShotClassifier(), FewShotRegressor()], expected_failed_checks=expected)
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:.*the others of its class contradict a row")  # virginicas among versicolors
def test_it_works_inside_scikit_learn_s_tools():
    x, y = load_iris(return_X_y=True)
    assert cross_val_score(make_pipeline(MinMaxScaler(), FewShotClassifier()), x, y, cv=3).mean() > 0.8
    search = GridSearchCV(FewShotClassifier(), {"learner": [None, Standardised(NearestCentroid())]}, cv=3).fit(x, y)
    assert search.best_score_ > 0.8


@pytest.mark.filterwarnings("ignore:.*the others of its class contradict a row")  # virginicas among versicolors
def test_a_clone_learns_the_same_and_shares_nothing():
    x, y = load_iris(return_X_y=True)
    first = FewShotClassifier(Standardised(NearestCentroid())).fit(x, y)
    second = clone(first)
    assert not hasattr(second, "predictor_")
    assert np.array_equal(second.fit(x, y).predict_proba(x), first.predict_proba(x))
    assert second.learner is not first.learner


@pytest.mark.parametrize("shots", [1, 5])
def test_the_default_learner_on_few_flowers(shots):
    """Far above a third, the accuracy of a guess; with wrong labels no better than one."""
    x, y = load_iris(return_X_y=True)
    generator, right, shuffled = np.random.default_rng(0), [], []
    for _ in range(20):
        rows = generator.permutation(len(x))
        own = np.concatenate([rows[y[rows] == k][:shots] for k in range(3)])
        asked = np.setdiff1d(rows, own)
        right.append(FewShotClassifier().fit(x[own], y[own]).score(x[asked], y[asked]))
        shuffled.append(FewShotClassifier().fit(x[own], generator.permutation(y[own])).score(x[asked], y[asked]))
    assert np.mean(right) > 0.65
    assert np.mean(shuffled) < 0.5
