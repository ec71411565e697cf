"""Tables: the same each time, rows to be scored on apart, and of each prior what makes it one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_moons
from sklearn.tree import DecisionTreeClassifier

from quickstudy.domains.tables.select import tables as page
from quickstudy.domains.tables.select.tables import FAMILIES, TEST_ROWS, draw
from quickstudy.errors import ArgumentError


@pytest.mark.parametrize("family", FAMILIES)
def test_a_table_is_whole_and_the_same_each_time(family: str):
    table, again = draw(family, 1), draw(family, 1)
    assert np.array_equal(table.X, again.X)
    assert np.array_equal(table.test_y, again.test_y)
    for different in (draw(family, 2), draw(family, 1, seed=1)):
        assert table.X.shape != different.X.shape or not np.array_equal(table.X, different.X)
    assert (table.name, table.family) == (f"{family} 1", family)
    assert len(table.X) == len(table.y)
    assert len(table.test_X) == len(table.test_y) > 20
    assert table.X.shape[1] == table.test_X.shape[1]
    assert np.isfinite(table.X).all()
    assert np.bincount(table.y).min() > 1
    assert set(table.test_y) <= set(table.y)
    assert 25 <= len(table.y) <= page.MOST_ROWS + 10


def test_a_drawn_table_has_many_rows_to_be_scored_on_and_shares_none():
    for family in ("mixtures", "structural", "gaussian_process", "linear"):
        table = draw(family, 0)
        assert abs(len(table.test_y) - TEST_ROWS) < 10
        rows = {row.tobytes() for row in table.X}
        assert not rows & {row.tobytes() for row in table.test_X}


def test_a_real_table_is_a_part_of_it():
    table, (X, _) = draw("iris", 3), load_iris(return_X_y=True)
    columns = [next(j for j in range(4) if set(column) <= set(X[:, j])) for column in table.X.T]
    whole = {tuple(row) for row in X[:, columns].tolist()}
    assert {tuple(row) for row in np.concatenate([table.X, table.test_X]).tolist()} <= whole


def generator() -> np.random.Generator:
    return np.random.default_rng(5)


def test_rings_are_quantiles_of_a_norm():
    X, y = page.rings(300, generator())
    assert np.ptp(np.bincount(y)) <= 1
    found = [np.argsort(np.linalg.norm(X[:, :k], axis=1)) for k in range(2, min(5, X.shape[1]) + 1)]
    assert any((np.diff(y[order]) >= 0).all() for order in found)


def test_trees_are_learned_by_a_tree():
    X, y = page.trees(3000, generator())
    leaves = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0).fit(X[:2000], y[:2000])
    assert leaves.score(X[2000:], y[2000:]) > 0.95
    assert len(set(y.tolist())) > 1


def test_two_arcs_are_the_moons():
    """Without noise and turned back into the plane, each row is a point of scikit-learn's two curves."""

    class Still(np.random.Generator):
        def normal(self, *args, size=None, **kwargs):
            return super().normal(*args, size=size, **kwargs) if size == (2, 2) else np.zeros(size)

        def integers(self, low, high=None, size=None):
            return 2

        def uniform(self, low=0.0, high=1.0, size=None):
            return super().uniform(low, high, size) if size is not None else np.log(2) + 0.1

    X, y = page.arcs(50, Still(np.random.PCG64(0)))
    moons, side = make_moons(4000, noise=None)
    distance = [min_of_pairs(X[y == k]) - min_of_pairs(moons[side == k]) for k in (0, 1)]
    assert X.shape == (50, 2)
    assert np.abs(distance).max() < 1e-9
    between = np.linalg.norm(X[y == 0].mean(0) - X[y == 1].mean(0)) - np.linalg.norm(
        moons[side == 0].mean(0) - moons[side == 1].mean(0)
    )
    assert abs(between) < 0.3


def min_of_pairs(points: np.ndarray) -> float:
    """How far the centre of the circle through the first three points lies from all others, less the radius: 0 on a circle."""
    a, b, c = points[:3]
    centre = np.linalg.solve(2 * np.stack([b - a, c - a]), np.array([b @ b - a @ a, c @ c - a @ a]))
    return float(np.abs(np.linalg.norm(points - centre, axis=1) - np.linalg.norm(a - centre)).max())


def test_linear_classes_are_told_by_a_line():
    from sklearn.linear_model import LogisticRegression

    X, y = page.linear(3000, generator())
    right = LogisticRegression(max_iter=500).fit(X[:2000], y[:2000]).score(X[2000:], y[2000:])
    grown = DecisionTreeClassifier(random_state=0).fit(X[:2000], y[:2000]).score(X[2000:], y[2000:])
    assert right > grown + 0.03


def test_labels_are_made_wrong_by_chance():
    y = np.arange(4000) % 2
    wrong = np.array([(page.mislabelled(y, np.random.default_rng(seed)) != y).mean() for seed in range(40)])
    assert 8 < (wrong == 0).sum() < 32  # 1 in 2
    assert wrong.max() <= 0.2 / 2 + 0.02  # a wrong label is the right one half of the time


def test_an_unknown_family():
    with pytest.raises(ArgumentError, match=r"`family`: expected one of \['iris', .* got 'moons'"):
        draw("moons", 0)
