"""Ridge and logistic heads on features: what they solve, and what they answer without one example."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

import quickstudy as qs
from quickstudy.errors import ArgumentError
from quickstudy.learners.solve import LogisticHead, RidgeHead
from quickstudy.learners.solve.feature_heads import smoother, standard

WAYS = 4


def data(each: int = 5, features: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(WAYS).repeat_interleave(each)
    means = torch.randn(WAYS, features, generator=generator, dtype=torch.float64)
    return 3.0 + means[y] + torch.randn(len(y), features, generator=generator, dtype=torch.float64), y


@pytest.mark.parametrize("features", [6, 40])  # fewer and more than there are examples
def test_ridge_is_that_of_scikit_learn_on_standardised_features(features: int):
    x, y = data(features=features)
    mean, length = standard(x)
    peer = Ridge(alpha=0.7).fit(((x - mean) / length).numpy(), np.eye(WAYS)[y])
    queries = torch.randn(9, features, dtype=torch.float64)
    found = RidgeHead(nn.Identity(), penalty=0.7, scale=2.0).adapt(qs.Examples(x, y))(queries)
    expected = 2.0 * peer.predict(((queries - mean) / length).numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    assert not np.allclose(found.numpy(), 2.0 * Ridge(alpha=0.7).fit(x.numpy(), np.eye(WAYS)[y]).predict(queries.numpy()))


@pytest.mark.parametrize("features", [6, 40])
def test_logistic_regression_is_that_of_scikit_learn(features: int):
    x, y = data(features=features)
    mean, length = standard(x)
    z = ((x - mean) / length).numpy()
    queries = torch.randn(9, features, dtype=torch.float64)
    found = LogisticHead(nn.Identity(), penalty=0.5, scale=1.0).adapt(qs.Examples(x, y))(queries)
    for k in range(WAYS):
        peer = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(z, (y == k).numpy())
        np.testing.assert_allclose(found[:, k], peer.decision_function(((queries - mean) / length).numpy()), atol=1e-5)


@pytest.mark.parametrize("features", [6, 40])
def test_the_smoother_by_either_inverse(features: int):
    x, _ = data(features=features)
    weight = torch.rand(len(x), dtype=torch.float64)
    plain = x @ torch.linalg.inv(x.T @ x + 0.3 * torch.eye(features, dtype=torch.float64)) @ x.T
    torch.testing.assert_close(smoother(x, 0.3), plain)
    inner = x.T @ torch.diag(weight) @ x + 0.3 * torch.eye(features, dtype=torch.float64)
    torch.testing.assert_close(smoother(x, 0.3, weight), x @ torch.linalg.inv(inner) @ x.T)


def refitted(head: RidgeHead | LogisticHead, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Each example's logits by the head fitted to the others; mean and length of the features are those of all."""
    mean, length = standard(x)
    z, rows = (x - mean) / length, torch.arange(len(x))
    found = []
    for i in range(len(x)):
        rest = z[rows != i]
        target = torch.eye(WAYS, dtype=x.dtype)[y[rows != i]]
        if isinstance(head, RidgeHead):
            peer = Ridge(alpha=head.penalty).fit(rest.numpy(), target.numpy())
            found.append(head.scale * torch.from_numpy(peer.predict(z[i : i + 1].numpy())))
        else:
            found.append(head.scale * z[i : i + 1] @ head._weights(rest, target))
    return torch.cat(found)


@pytest.mark.parametrize("features", [6, 40])
def test_ridge_without_each_example_is_exact(features: int):
    x, y = data(features=features)
    head = RidgeHead(nn.Identity(), penalty=0.5)
    torch.testing.assert_close(head.left_out(x, y, WAYS), refitted(head, x, y), atol=1e-8, rtol=1e-8)
    fitted = head.adapt(qs.Examples(x, y))(x)  # the control: with the example itself
    assert (head.left_out(x, y, WAYS) - fitted).abs().max() > 0.5


@pytest.mark.parametrize("features", [6, 40])
def test_logistic_regression_without_each_example_is_close(features: int):
    x, y = data(each=8, features=features)
    head = LogisticHead(nn.Identity(), penalty=0.3)
    found, expected = head.left_out(x, y, WAYS), refitted(head, x, y)
    fitted = head.adapt(qs.Examples(x, y))(x)
    assert (found - expected).abs().mean() < 0.1 * (fitted - expected).abs().mean()
    assert (found.argmax(1) == expected.argmax(1)).double().mean() > 0.95


def test_features_that_are_all_equal_prefer_no_class():
    x, y = torch.ones(WAYS, 3), torch.arange(WAYS)
    for head in (RidgeHead(nn.Identity()), LogisticHead(nn.Identity())):
        logits = head.adapt(qs.Examples(x, y))(torch.ones(2, 3))
        torch.testing.assert_close(logits, logits[:, :1].expand_as(logits))


def test_units_and_offset_of_the_features_do_not_matter():
    x, y = data()
    for head in (RidgeHead(nn.Identity()), LogisticHead(nn.Identity())):
        moved = head.adapt(qs.Examples(100 * x - 7, y))(100 * x - 7)
        torch.testing.assert_close(moved, head.adapt(qs.Examples(x, y))(x), atol=1e-8, rtol=1e-8)


def test_a_head_is_saved_and_read_back(tmp_path):
    x, y = data()
    for head in (RidgeHead(qs.models.mlp(6, 4), penalty=0.3).double(), LogisticHead(qs.models.mlp(6, 4), scale=2.0).double()):
        head.adapt(qs.Examples(x, y)).save(tmp_path / "predictor")
        torch.testing.assert_close(qs.load(tmp_path / "predictor")(x), head.adapt(qs.Examples(x, y))(x), rtol=0, atol=0)


@pytest.mark.parametrize("head", [RidgeHead, LogisticHead])
def test_refusals(head: type):
    with pytest.raises(ArgumentError, match=r"penalty\)?`: expected"):
        head(nn.Identity(), penalty=0.0)
