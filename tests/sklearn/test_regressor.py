"""FewShotRegressor: the shapes of y, learners of targets, and its default against scikit-learn's own ridge."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as TheirRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import quickstudy as qs
from quickstudy.errors import ShapeError
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.sklearn import FewShotRegressor

pytestmark = pytest.mark.usefixtures("repeatable_blas")  # tests/repeatable.py


def line(n=8, targets=None, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 3)) * [1.0, 20.0, 0.1] + 4
    y = x @ np.array([[2.0, 1.0], [0.1, -1.0], [3.0, 0.0]]) + 100
    return x, y[:, 0] if targets is None else y[:, :targets]


@pytest.mark.parametrize("targets", [None, 1, 2])
@pytest.mark.parametrize("n", [2, 8])
def test_the_default_is_scikit_learn_s_ridge_on_standardised_features(n, targets):
    (x, y), (asked, _) = line(n, targets), line(5, targets, seed=1)
    got = FewShotRegressor().fit(x, y).predict(asked)
    want = make_pipeline(StandardScaler(), TheirRidge(alpha=1.0)).fit(x, y).predict(asked)
    assert got.shape == want.shape == (5,) if targets is None else (5, targets)
    np.testing.assert_allclose(got, want.reshape(got.shape), rtol=1e-8)
    other = make_pipeline(StandardScaler(), TheirRidge(alpha=1.1)).fit(x, y).predict(asked)
    assert not np.allclose(got, other.reshape(got.shape), rtol=1e-4)  # control


def test_a_learner_that_descends():
    x, y = line(8)
    z = (x - x.mean(0)) / x.std(0)
    learner = qs.FromScratch(qs.models.mlp(3, 1, hidden=(16,)), inner_steps=300, inner_lr=0.02)
    fitted = FewShotRegressor(learner).fit(z, y - y.mean())
    assert fitted.predict(z).shape == (8,)
    assert fitted.score(z, y - y.mean()) > 0.95


def test_a_network_with_another_number_of_outputs():
    x, y = line(8)
    learner = qs.FromScratch(qs.models.mlp(3, 2, hidden=(4,)), inner_steps=1, loss=lambda p, y: ((p - y) ** 2).mean())
    with pytest.raises(ShapeError, match=r"`learner`: expected one that answers 1 targets for each example, .* got .* \(8, 2\)"):
        FewShotRegressor(learner).fit(x, y).predict(x)


@pytest.mark.parametrize("learner", [None, "ridge"])
@pytest.mark.parametrize("targets", [None, 2])
def test_save_and_load(tmp_path, learner, targets):
    x, y = line(8, targets)
    fitted = FewShotRegressor(None if learner is None else Ridge(penalty=0.1)).fit(x, y)
    fitted.save(tmp_path)
    again = FewShotRegressor.load(tmp_path)
    assert np.array_equal(again.predict(x), fitted.predict(x))
    assert again.predict(x).shape == y.shape


def test_load_from_a_predictor(tmp_path):
    x, y = (torch.from_numpy(one).float() for one in line(8, 2))
    predictor = Ridge().adapt(qs.Examples(x, y))
    predictor.save(tmp_path)
    np.testing.assert_allclose(FewShotRegressor.load(tmp_path).predict(x), predictor(x).numpy(), rtol=1e-6)
