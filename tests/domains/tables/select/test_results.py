"""Results: what is measured, written, read back, joined; and the set that comes along."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.make import select as make_select

from quickstudy.domains.tables.select import Recommender, Results, grid, measure, meta_features, shipped
from quickstudy.domains.tables.select.candidates import Candidate, score
from quickstudy.domains.tables.select.results import SHIPPED
from quickstudy.domains.tables.select.tables import FAMILIES, Table, draw
from quickstudy.errors import ArgumentError, CheckpointError

TWO = [
    Candidate("decision_tree", {"min_samples_leaf": 1}),
    Candidate("nearest_neighbours", {"n_neighbors": 50, "weights": "uniform"}),
]


def small(name: str = "rings 0") -> Table:
    family, _, number = name.partition(" ")
    whole = draw(family, int(number))
    return Table(name, family, whole.X[:40], whole.y[:40], whole.test_X, whole.test_y)


@pytest.fixture(scope="module")
def results() -> Results:
    return measure([small(), small("trees 0")], TWO, ["simple"])


def test_what_is_measured(results: Results):
    table = small()
    assert results.scores[0, 0] == score(TWO[0], table.X, table.y, table.test_X, table.test_y)
    assert np.isnan(results.scores[:, 1]).all()  # 50 neighbours of 40
    found = meta_features(table.X, table.y, ["simple"])
    assert dict(zip(results.features, results.values[0].tolist(), strict=True)) == found
    assert (results.names, results.families) == (("rings 0", "trees 0"), ("rings", "trees"))


def test_save_and_load(results: Results, tmp_path: Path):
    results.save(tmp_path / "new" / "r.json")
    loaded = Results.load(tmp_path / "new" / "r.json")
    assert loaded.scores == pytest.approx(results.scores, abs=6e-4, nan_ok=True)
    assert loaded.values == pytest.approx(results.values, rel=6e-3)
    assert (loaded.candidates, loaded.names, loaded.families) == (results.candidates, results.names, results.families)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "new" / "r.json").read_text()


def test_parts_and_sums(results: Results):
    first, second = results.of([0]), results.of(np.array([1]))
    whole = first.plus(second)
    assert whole.names == results.names
    assert np.array_equal(whole.values, results.values)
    with pytest.raises(
        ArgumentError, match=r"`results`: expected different tables and different candidates, got one of them twice"
    ):
        results.plus(first)
    with pytest.raises(ArgumentError, match=r"expected the same candidates, meta-features and scoring, got others"):
        first.plus(measure([small("trees 0")], TWO[:1], ["simple"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(format=2), r"format: expected one of 1, got 2"),
        (lambda spec: spec.pop("candidates"), r"expected the field 'candidates'"),
        (lambda spec: spec["candidates"][0].update(learner="os.system"), r"`learner`: .*'os\.system'"),
        (lambda spec: spec["tables"][0]["scores"].append(1.0), r"got setting an array element|inhomogeneous"),
        (lambda spec: spec["tables"].clear(), r"expected results of learners on tables"),
        (lambda spec: spec["tables"][0].update(scores=[None, None]), r"got .*a table without"),
        (
            lambda spec: spec["tables"][0].update(features=["x"] * 10),
            r"tables\[0\].features\[0\]: expected a finite number",
        ),
    ],
)
def test_what_is_no_result_set(results: Results, tmp_path: Path, change, message: str):
    results.save(tmp_path / "r.json")
    spec = json.loads((tmp_path / "r.json").read_text())
    change(spec)
    (tmp_path / "r.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match=message):
        Results.load(tmp_path / "r.json")


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"got no such file\. Give the path of a file that Results\.save wrote"):
        Results.load(tmp_path / "none.json")
    for text in ("", "[]", "{}", "3", "{'a'"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"expected results of learners on tables"):
            Results.load(tmp_path / "bad.json")
    with pytest.raises(ArgumentError, match=r"`tables, candidates`: expected one or more of each, got none"):
        measure([], TWO)


def test_the_set_that_comes_along():
    found = shipped()
    assert SHIPPED[False].stat().st_size < make_select.LIMIT == 200_000
    assert found.candidates == tuple(grid())
    assert set(found.families) == set(FAMILIES)
    assert len(found) >= 120
    assert ((found.filled() >= 0) & (found.filled() <= 1)).all()
    assert found.features == tuple(meta_features(small().X, small().y))  # the names of today
    assert (np.isnan(found.scores).mean(0) < 0.7).all()


@pytest.mark.parametrize("name", ["wine 1", "arcs 2", "structural 0"])
def test_the_set_that_comes_along_is_what_is_measured_today(name: str):
    """Drawn and measured anew: another generator, learner or meta-feature would show. Landmarks may differ by a row of a tie."""
    found = shipped()
    row, table = found.names.index(name), draw(*name.split()[:1], int(name.split()[1]))
    fast = [index for index, one in enumerate(found.candidates) if one.learner in ("svm", "naive_bayes", "decision_tree")]
    today = measure([table], [found.candidates[index] for index in fast])
    assert np.abs(today.scores[0] - found.scores[row, fast]).max() < 0.011
    exact = [index for index, feature in enumerate(found.features) if not feature.startswith("landmarking")]
    assert today.values[0, exact] == pytest.approx(found.values[row, exact], rel=6e-3, abs=1e-6)
    others = [index for index in range(len(found.features)) if index not in exact]
    assert np.abs(today.values[0, others] - found.values[row, others]).max() < 0.05


def test_the_shipped_recommender_knows_more_than_the_average():
    """Leave-one-family-out error (4) below that of answering the mean of the other families, on the set itself."""
    found = shipped()
    S = -np.minimum(found.filled().max(1, keepdims=True) - found.filled(), 0.1)
    families = np.array(found.families)
    average = np.concatenate([S[families == one] - S[families != one].mean(0) for one in FAMILIES])
    assert Recommender().fit(found).error < 0.97 * np.sqrt((average**2).mean())


def test_the_script_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out, measured = tmp_path / "r.json", []
    monkeypatch.setattr(make_select, "FAMILIES", ("rings", "trees"))
    monkeypatch.setattr(make_select, "grid", lambda regression: TWO[:1])

    def noted(tables, candidates):
        measured.append(tables[0].name)
        return measure(tables, candidates, ["simple"])

    monkeypatch.setattr(make_select, "measure", noted)
    for each, expected in ((1, ["rings 0", "trees 0"]), (2, ["rings 0", "trees 0", "rings 1", "trees 1"])):
        monkeypatch.setattr("sys.argv", ["make_select", "--each", str(each), "--out", str(out)])
        make_select.main()
        assert measured == list(Results.load(out).names) == expected
