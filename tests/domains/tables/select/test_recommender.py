"""The recommender: its closed form against refits, a rule that it must find, and files that it must refuse."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from quickstudy.domains.tables.select import Recommender, Results, recommender
from quickstudy.domains.tables.select.candidates import Candidate, grid
from quickstudy.domains.tables.select.recommender import kernel, left_out, squared_distances
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.files import sealed

CANDIDATES = tuple(grid()[::6])
NAMES = ("simple.log_rows", "simple.log_columns", "simple.majority")


def known(tables: int = 60, families: int = 6, seed: int = 0, noise: float = 0.0) -> Results:
    """Candidate 1 is best where the second meta-feature is positive, and candidate 2 where it is not; others are worse."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(tables, 3))
    level = generator.uniform(0.4, 0.9, (tables, 1))
    scores = level - 0.05 * np.ones((tables, len(CANDIDATES)))
    scores[:, 1] += 0.02 + 0.05 * np.sign(values[:, 1])
    scores[:, 2] += 0.02 - 0.05 * np.sign(values[:, 1])
    scores += noise * generator.normal(size=scores.shape)
    names = tuple(f"table {seed} {i}" for i in range(tables))
    return Results(CANDIDATES, NAMES, names, tuple(f"family {i % families}" for i in range(tables)), values, scores)


def test_the_closed_form_of_leaving_out_is_a_refit():
    """(4) against a solve without the group; the error of leaving out rows one by one is another: the control."""
    generator = np.random.default_rng(0)
    M, S = generator.normal(size=(20, 4)), generator.normal(size=(20, 3))
    groups = [np.arange(0, 7), np.arange(7, 12), np.arange(12, 20)]
    K, ridge = kernel(squared_distances(M, M), 1.3), 0.4
    expected = np.empty_like(S)
    for G in groups:
        kept = np.setdiff1d(np.arange(20), G)
        weights = np.linalg.solve(K[np.ix_(kept, kept)] + ridge * np.eye(len(kept)), S[kept])
        expected[G] = S[G] - K[np.ix_(G, kept)] @ weights
    assert left_out(K, S, ridge, groups) == pytest.approx(expected, rel=1e-9)
    singly = left_out(K, S, ridge, [np.array([i]) for i in range(20)])
    assert np.abs(singly - expected).max() > 0.1


def test_distances_are_distances():
    M, N = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert squared_distances(M, N) == pytest.approx(((M[:, None] - N) ** 2).sum(-1) / 3)
    assert kernel(np.array([0.0, np.inf]), 1.0).tolist() == [2.0, 1.0]


def test_it_finds_the_rule_on_tables_it_has_not_seen():
    fitted, new = Recommender().fit(known()), known(seed=1)
    chosen = fitted.predict(new.values).argmax(1)
    regret = new.scores.max(1) - new.scores[np.arange(60), chosen]
    single = new.scores.max(1) - new.scores[:, known().scores.mean(0).argmax()]
    assert regret.mean() < 0.4 * single.mean()
    assert set(chosen) == {1, 2}


def test_where_meta_features_say_nothing_it_answers_the_average():
    """Their meta-features shuffled, tables have no rule left: the prediction varies far less than with it."""
    results = known(240, noise=0.02)
    order = np.random.default_rng(3).permutation(240)
    shuffled = Results(CANDIDATES, NAMES, results.names, results.families, results.values[order], results.scores)
    spread = [Recommender().fit(one).predict(known(seed=1).values)[:, 1].std() for one in (results, shuffled)]
    assert spread[1] < 0.4 * spread[0]


def test_far_away_it_answers_the_average():
    fitted = Recommender(ridges=(0.01,), scales=(0.5,)).fit(known())
    far = fitted.predict(np.array([[1e9, -1e9, 1e9]]))[0]
    S = -np.minimum(known().scores.max(1, keepdims=True) - known().scores, recommender.WORST)
    assert far == pytest.approx(S.mean(0), abs=0.03)


def test_how_hard_a_table_is_and_how_bad_the_bad_are_does_not_matter():
    results = known()
    harder = results.scores - np.linspace(0, 0.2, 60)[:, None]
    worse = harder.copy()
    worse[:, 4] -= 0.15  # a candidate that is bad already, beyond 0.1 in both
    kept = [harder - 0.1 * (np.arange(len(CANDIDATES)) == 4), worse]
    answers = [
        Recommender()
        .fit(Results(CANDIDATES, NAMES, results.names, results.families, results.values, scores))
        .predict(results.values)
        for scores in kept
    ]
    assert answers[0] == pytest.approx(answers[1])
    assert Recommender().fit(results).predict(results.values)[:, :4] == pytest.approx(answers[0][:, :4], abs=1e-2)


def test_a_fit_that_failed_counts_as_the_worst():
    results = known()
    scores = results.scores.copy()
    scores[3, 5] = np.nan
    filled = Results(CANDIDATES, NAMES, results.names, results.families, results.values, scores).filled()
    assert filled[3, 5] == np.nanmin(scores[3])
    assert Recommender().fit(Results(CANDIDATES, NAMES, results.names, results.families, results.values, scores)).error < 0.1


def test_recommending(monkeypatch: pytest.MonkeyPatch):
    fitted = Recommender().fit(known())
    for value, best in ((2.0, 1), (-2.0, 2)):
        given = dict(zip(NAMES, (0.0, value, 0.0), strict=True))
        monkeypatch.setattr(recommender, "meta_features", lambda X, y, groups, given=given, **_: given)
        ranked = fitted.recommend(np.zeros((2, 1)), None, k=None)
        assert ranked[0].candidate == CANDIDATES[best]
        assert len(ranked) == len(CANDIDATES)
        assert [one.shortfall for one in ranked] == sorted(one.shortfall for one in ranked)
        assert fitted.recommend(np.zeros((2, 1)), None, k=2) == ranked[:2]
        learners = [one.candidate.learner for one in fitted.recommend(np.zeros((2, 1)), None, k=None, most_per_learner=1)]
        assert len(learners) == len(set(learners)) == len({one.learner for one in CANDIDATES})
    assert str(ranked[0]).startswith(f"{CANDIDATES[2]}: ")


def test_save_and_load(tmp_path: Path):
    fitted = Recommender().fit(known())
    fitted.save(tmp_path / "r")
    loaded = Recommender.load(tmp_path / "r")
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["arrays.safetensors", "config.json"]
    assert np.array_equal(loaded.predict(known(seed=2).values), fitted.predict(known(seed=2).values))
    assert (loaded.candidates, loaded.features, loaded.error) == (fitted.candidates, fitted.features, fitted.error)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "r" / "config.json").read_text()


class Bomb:
    def __reduce__(self):
        return (Path("/tmp/quickstudy_bomb").touch, ())


def broken(folder: Path, how: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    arrays = load_file(folder / "arrays.safetensors")
    if how == "learner":
        config["candidates"][0]["learner"] = "subprocess.Popen"
    if how == "parameter":
        config["candidates"][0]["parameters"] = {"C": "__import__('os')"}
    if how == "format":
        config["format"] = 99
    if how == "kind":
        config["kind"] = "learner"
    if how == "key":
        del config["scale"]
    if how == "shape":
        arrays["A"] = arrays["A"][:, :-1]
    if how == "seal":
        arrays["A"][0, 0] += 1e-12
    if how == "nan":
        arrays["A"][0, 0] = np.nan
    if how == "array":
        del arrays["M"]
    if how == "pickle":
        (folder / "arrays.safetensors").write_bytes(pickle.dumps(Bomb()))
    else:
        save_file({name: np.ascontiguousarray(one) for name, one in arrays.items()}, folder / "arrays.safetensors")
    if how == "cut":
        (folder / "arrays.safetensors").write_bytes((folder / "arrays.safetensors").read_bytes()[:100])
    if how != "seal":
        config = sealed(config, folder / "arrays.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if how == "json":
        (folder / "config.json").write_text("{")
    if how == "list":
        (folder / "config.json").write_text("[]")
    if how == "none":
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("learner", r"got what does not fit: `learner`: .*'subprocess\.Popen'"),
        ("parameter", r"logistic_regression's C"),
        ("format", r"expected a recommender of format 2, got what does not fit: format: expected one of 2, got 99"),
        ("kind", r"kind: expected one of 'recommender', got 'learner'"),
        ("key", r"expected the field 'scale'"),
        ("seal", r"with its seal `sha256`, got \w{12}\.\.\. of other content"),
        ("pickle", r"a pickle is never opened"),
        ("shape", r"expected finite arrays of the shapes"),
        ("nan", r"expected finite arrays of the shapes"),
        ("array", r"got .*middle"),
        ("cut", r"expected a whole safetensors file"),
        ("json", r"expected a recommender of format 2, got what does not parse"),
        ("list", r"expected a recommender of format 2, got JSON that is no mapping"),
        ("none", r"expected a recommender of format 2, got no such file"),
    ],
)
def test_what_is_no_recommender(tmp_path: Path, how: str, message: str):
    Recommender().fit(known()).save(tmp_path / "r")
    broken(tmp_path / "r", how)
    with pytest.raises(CheckpointError, match=message):
        Recommender.load(tmp_path / "r")
    assert not Path("/tmp/quickstudy_bomb").exists()


def test_bad_arguments():
    with pytest.raises(ArgumentError, match=r"`ridges`: expected numbers above 0, one or more, got \(0\.0,\)"):
        Recommender(ridges=(0.0,))
    with pytest.raises(ArgumentError, match=r"`scales`: expected numbers above 0, one or more, got \(\)"):
        Recommender(scales=())
    with pytest.raises(ArgumentError, match=r"`results`: expected tables of two families or more, got 'family 0' alone"):
        Recommender().fit(known(families=1))
    with pytest.raises(ArgumentError, match=r"`Recommender`: expected a fitted one, got one without results\. Call fit"):
        Recommender().recommend(np.zeros((4, 2)), [0, 0, 1, 1])
    for name in ("k", "most_per_learner"):
        with pytest.raises(ArgumentError, match=rf"`{name}`: expected 1 or more, or None, got 0"):
            Recommender().fit(known()).recommend(np.zeros((4, 2)), [0, 0, 1, 1], **{name: 0})
    assert Candidate("svm", {"C": 1.0, "gamma": 0.1}) == Candidate("svm", {"gamma": 0.1, "C": 1.0})
