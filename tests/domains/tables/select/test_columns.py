"""Columns of categories: found, encoded inside, named; unseen and missing ones; and that they tell what numbers do not."""

from __future__ import annotations

import pickle

import numpy as np
import pandas
import pytest
import torch

from quickstudy import select
from quickstudy.domains.tables.select import Candidate
from quickstudy.domains.tables.select.candidates import cross_validated
from quickstudy.domains.tables.select.columns import MOST, Columns, as_numbers_and_indicators, columns_of
from quickstudy.domains.tables.select.inputs import prepared
from quickstudy.errors import ArgumentError

LOGISTIC = Candidate("logistic_regression", {"C": 1.0})
TREE = Candidate("decision_tree", {"min_samples_leaf": 1})


def preferring(*candidates: Candidate) -> select.Recommender:
    """A recommender that knows these candidates alone, the first as the best everywhere; it needs no landmark."""
    scores = np.tile(0.9 - 0.02 * np.arange(len(candidates)), (4, 1))
    values = np.arange(4.0)[:, None]
    results = select.Results(candidates, ("simple.log_rows",), tuple("abcd"), ("p", "p", "q", "q"), values, scores)
    return select.Recommender().fit(results)


def shirts(rows: int = 120) -> tuple[pandas.DataFrame, np.ndarray]:
    """y depends on the colour alone; the size is noise."""
    generator = np.random.default_rng(0)
    colour = generator.choice(["red", "green", "blue"], size=rows)
    frame = pandas.DataFrame({"size": generator.normal(size=rows), "colour": colour, "shop": generator.integers(4, size=rows)})
    return frame, np.where(colour == "red", "sold", "kept")


def test_categories_are_found_by_what_they_are():
    frame, _ = shirts()
    assert columns_of(frame) == Columns(("size", "shop"), ("colour",))
    assert columns_of(frame, ["shop"]) == Columns(("size",), ("colour", "shop"))
    assert columns_of(frame.assign(shop=frame["shop"].astype("category"))) == Columns(("size",), ("colour", "shop"))
    assert columns_of(frame.drop(columns="colour")) is None
    assert columns_of(frame[["size"]].assign(new=frame["shop"] > 1)) is None, "yes and no are numbers"
    assert columns_of(frame.to_numpy()) == Columns((0, 2), (1,))
    assert columns_of([[1, "a"], [2, None]]) == Columns((0,), (1,))
    assert columns_of(torch.zeros(3, 2)) is None
    assert columns_of(np.zeros((3, 2)), [1]) == Columns((0,), (1,))


def test_they_are_encoded_inside_and_named():
    frame, y = shirts()
    model = LOGISTIC.estimator(columns=columns_of(frame, ["shop"])).fit(frame, y)
    names = model[:-1].get_feature_names_out().tolist()
    assert names == ["size", "colour_blue", "colour_green", "colour_red", "shop_0", "shop_1", "shop_2", "shop_3"]
    assert model.score(frame, y) == 1.0
    weights = dict(zip(names, model[-1].coef_[0], strict=True))
    assert max(weights, key=weights.get) == "colour_red"
    assert model.predict(frame[["shop", "colour", "size"]]).tolist() == model.predict(frame).tolist(), "by name, not by place"
    assert pickle.loads(pickle.dumps(model)).score(frame, y) == 1.0


def test_unseen_and_missing_categories_have_an_answer():
    frame, y = shirts()
    frame.loc[:9, "colour"], frame.loc[5:20, "size"], y[:10] = None, np.nan, "lost"
    model = LOGISTIC.estimator(columns=columns_of(frame)).fit(frame, y)
    assert "colour_missing" in model[:-1].get_feature_names_out()
    new = pandas.DataFrame({"size": [0.0, np.nan, 0.0], "colour": ["violet", "red", None], "shop": [1, 2, np.nan]})
    assert model.predict(new).tolist()[1:] == ["sold", "lost"]
    unseen = model[:-1].transform(new)
    assert unseen[0, 2:].tolist() == [0, 0, 0, 0], "none of blue, green, missing, red"
    assert np.isfinite(unseen).all()
    for missing in (np.nan, pandas.NA, None):
        assert model.predict(new.assign(colour=missing)).tolist() == ["lost"] * 3


def test_codes_are_the_same_as_whole_numbers_and_as_floats():
    frame, y = shirts()
    model = TREE.estimator(columns=columns_of(frame, ["shop"])).fit(frame, y)
    new = frame.assign(shop=frame["shop"].astype(float))
    assert (model[:-1].transform(new) == model[:-1].transform(frame)).all()


def test_many_categories_are_a_bounded_number_of_columns():
    X = pandas.DataFrame({"who": [f"n{row % 90}" for row in range(400)], "x": np.arange(400.0)})
    columns = columns_of(X)
    y = np.arange(400) % 2
    model = TREE.estimator(columns=columns).fit(X, y)
    assert len(model[:-1].get_feature_names_out()) == MOST + 1
    assert "who_infrequent_sklearn" in model[:-1].get_feature_names_out()
    assert as_numbers_and_indicators(X, columns).shape == (400, MOST + 1)


def test_meta_features_see_numbers_and_indicators():
    X = np.array([[1.5, "a"], [None, "b"], [2.0, "a"], [0.5, None]], dtype=object)
    seen = as_numbers_and_indicators(X, columns_of(X))
    assert seen[:, 1:].tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert np.isnan(seen[1, 0])
    frame, y = shirts()
    told, blind = (select.meta_features(one, y)["landmarking.tree"] for one in (frame, frame[["size", "shop"]]))
    assert told == 1.0 > blind + 0.2


@pytest.mark.parametrize("make", [pandas.DataFrame, lambda frame: frame.to_numpy(), lambda frame: frame.to_numpy().tolist()])
def test_a_table_with_categories_is_recommended_for_fitted_and_searched(make):
    """And without the column of categories, the control, the same call is no better than the more frequent class."""
    frame, y = shirts(180)
    own, asked, blind = make(frame[:120]), make(frame[120:]), frame[["size", "shop"]]
    asked = asked if hasattr(asked, "iloc") else np.array(asked, dtype=object)
    recommender = preferring(TREE, LOGISTIC)
    assert (select.fit(own, y[:120], k=2, folds=3, recommender=recommender).predict(asked) == y[120:]).all()
    control = select.fit(blind[:120], y[:120], k=2, folds=3, recommender=recommender).predict(blind[120:])
    assert (control == y[120:]).mean() < 0.85
    found = select.search(own, y[:120], trials=2, k=2, folds=2, recommender=recommender)
    assert (found.estimator.predict(asked) == y[120:]).all()


def test_categories_are_encoded_within_each_fold():
    """A category of a single row is unseen where that row is asked: the fold that lacks it must not know it."""
    frame, y = shirts(60)
    frame.loc[0, "colour"] = "gold"
    table = prepared(frame, y)
    assert table.columns is not None
    assert np.isfinite(cross_validated(LOGISTIC, table, 3))
    recommended = select.recommend(frame, y, 1)[0]
    assert recommended.columns == table.columns
    assert recommended.estimator().fit(frame, y).predict(frame.assign(colour="silver")).shape == (60,)


@pytest.mark.parametrize(
    ("X", "categorical", "message"),
    [
        (shirts()[0], ["color"], r"`categorical`: expected columns of X: \['size', 'colour', 'shop'\], got 'color'\. .*colour"),
        (np.zeros((3, 2)), [2], r"`categorical`: expected columns of X: \[0, 1\], got 2\. Name one of these"),
        (
            pandas.DataFrame({"a": ["x"], "when": [pandas.Timestamp(0)]}),
            [],
            r"`X`: .*, got Timestamp.* in column 'when'\. Turn it",
        ),
        ([["a", 1], ["b", "c"]], [], r"`X`: expected a column of numbers, or of text, got 'c' in column 1"),
    ],
)
def test_what_is_neither(X, categorical, message):
    with pytest.raises(ArgumentError, match=message):
        columns_of(X, categorical)
