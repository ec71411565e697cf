"""A folder of an estimator never runs code: pickles in each place, and what a joblib file would do if it were opened."""

from __future__ import annotations

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from tests.artifacts.vouched import rewritten
from tests.fuzz.targets import watched

import quickstudy as qs
from quickstudy.errors import CheckpointError, QuickstudyError

X, Y = np.random.default_rng(0).normal(size=(6, 2)), np.array(["a", "b"] * 3)


class Bomb:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def estimators():
    learner = qs.Prototypical(qs.models.mlp(2, 3, hidden=(4,)))
    return qs.FewShotClassifier(learner).fit(X, Y), qs.FewShotRegressor().fit(X, X.sum(1))


@pytest.mark.parametrize("number", [0, 1], ids=["classifier", "regressor"])
def test_a_pickle_in_the_place_of_any_file(tmp_path, number):
    """Also where the seal is of the planted file."""
    fitted, ran = estimators()[number], tmp_path / "ran"
    fitted.save(tmp_path / "saved")
    files = sorted(path.relative_to(tmp_path / "saved") for path in (tmp_path / "saved").rglob("*") if path.is_file())
    assert {"estimator.json", "support.safetensors"} <= {file.name for file in files}
    for file in files:
        fitted.save(tmp_path / "saved")
        (tmp_path / "saved" / file).write_bytes(pickle.dumps(Bomb(ran)))
        with watched(), pytest.raises(CheckpointError):
            type(fitted).load(tmp_path / "saved")
        if file.suffix == ".safetensors":
            name = "estimator.json" if file.parent == Path(".") else "config.json"
            rewritten(tmp_path / "saved" / file.parent, name=name)
            with watched(), pytest.raises(CheckpointError, match="a pickle is never opened, since it can run code"):
                type(fitted).load(tmp_path / "saved")
    assert not ran.exists()


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.pt"])
@pytest.mark.parametrize("load", [qs.load, qs.FewShotClassifier.load, qs.FewShotRegressor.load, qs.Run.open])
def test_a_pickle_is_named_and_not_opened(tmp_path, name, load):
    """As the path itself, and as what lies in the folder."""
    joblib.dump(Bomb(tmp_path / "ran"), tmp_path / name)
    for path in (tmp_path / name, tmp_path):
        with watched(), pytest.raises(QuickstudyError) as caught:
            load(path)
        if load != qs.Run.open:
            assert f"{name} may be a pickle, which can run code and is never opened" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_the_control_runs(tmp_path):
    joblib.dump(Bomb(tmp_path / "ran"), tmp_path / "a.joblib")
    with pytest.raises(AssertionError, match="reading data led to"), watched():
        joblib.load(tmp_path / "a.joblib")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("dtype", ["O8", "|V8", "M8[s]", "<U999999999", "i4,i4", "__import__('os')", "float", ""])
def test_a_type_of_labels_that_no_estimator_has(tmp_path, dtype):
    estimators()[0].save(tmp_path)
    rewritten(tmp_path, lambda spec: spec.update(dtype=dtype), "estimator.json")
    with pytest.raises(CheckpointError, match="expected sorted class labels, and their type"):
        qs.FewShotClassifier.load(tmp_path)


def test_a_support_of_another_save(tmp_path):
    estimators()[0].save(tmp_path / "one")
    qs.FewShotClassifier().fit(X + 1, Y).save(tmp_path / "other")
    (tmp_path / "one" / "support.safetensors").write_bytes((tmp_path / "other" / "support.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="of other content: a file was changed or damaged"):
        qs.FewShotClassifier.load(tmp_path / "one")
