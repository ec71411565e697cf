"""A fitted estimator as a folder: estimator.json, support.safetensors, learner/, calibration.json, preprocessing.json
(those that were given).

As in any folder of quickstudy, nothing in it can run code. Loading adapts the learner to the support set again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from quickstudy.artifacts.store import load as load_learner
from quickstudy.artifacts.store import run_folder
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import CheckpointError, UnsupportedError
from quickstudy.evaluation.calibration import calibrations
from quickstudy.evaluation.head_choice import OWN
from quickstudy.files import read_json, read_tensors, write_with_tensors
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.records import read_record
from quickstudy.sklearn.classifier import FewShotClassifier
from quickstudy.sklearn.estimator import FewShotEstimator
from quickstudy.sklearn.regressor import FewShotRegressor
from quickstudy.tasks.distribution.interface import PREPROCESSING

FORMAT = 2  # 1: without a seal
ESTIMATOR, SUPPORT, LEARNER = "estimator.json", "support.safetensors", "learner"
DTYPES = re.compile(r"[<>|=](b1|[iuf][1248]|U\d{1,5}|O)")  # of class labels: numbers and texts, as NumPy writes them
AGAIN = "Save the estimator again, or copy the whole folder again."
Label = bool | int | float | str

Estimator = TypeVar("Estimator", bound=FewShotEstimator)


@dataclass(frozen=True)
class Saved:
    """estimator.json; the last five fields are a classifier's."""

    format: int
    kind: Literal["FewShotClassifier", "FewShotRegressor"]
    learner: bool
    classes: tuple[Label, ...] = ()
    dtype: str = ""
    unknown: Label | None = None
    head: str = OWN  # as it was asked for
    chosen: str = OWN  # as the support chose it


def save(estimator: FewShotEstimator, path: Path) -> None:
    """Write the folder, its own file last."""
    x = estimator._kept_support("save(path)")
    path.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"format": FORMAT, "kind": type(estimator).__name__, "learner": estimator.learner is not None}
    if isinstance(estimator, FewShotClassifier):
        config |= {"classes": _plain(estimator.classes_.tolist()), "dtype": estimator.classes_.dtype.str}
        config["unknown"] = None if estimator.unknown is None else _plain([estimator.unknown])[0]
        y = torch.from_numpy(np.searchsorted(estimator.classes_, estimator.support_y_).astype(np.int64))
        config |= {"head": estimator.head, "chosen": estimator.head_}
        for calibration in estimator._calibrations().values():
            calibration.save(path)
    else:
        y = torch.from_numpy(np.asarray(estimator.support_y_, dtype=np.float64))
    if estimator.preprocessing is not None:
        estimator.preprocessing.save(path)
    if estimator.learner is not None:
        estimator.learner.save(path / LEARNER)
    write_with_tensors(path / ESTIMATOR, config, path / SUPPORT, {"x": x.contiguous(), "y": y.contiguous()})


def load(cls: type[Estimator], path: Path, foreign: dict[str, Any]) -> Estimator:
    """Load an estimator from its folder, or build one from the folder of a run, a learner or a predictor."""
    path = run_folder(path)
    if (path / ESTIMATOR).is_file():
        return _fitted(cls, path, foreign)
    learned = load_learner(path, **foreign)
    if isinstance(learned, Learner):
        return _build(cls, learned, path)
    return _from_predictor(_build(cls, learned.learner, path), learned, path)


def _fitted(cls: type[Estimator], path: Path, foreign: dict[str, Any]) -> Estimator:
    spec = read_json(path / ESTIMATOR, expected="a saved estimator", do=AGAIN)
    if spec.get("kind") != cls.__name__ or spec.get("format") != FORMAT:
        raise CheckpointError(
            str(path),
            expected=f"a {cls.__name__} of format {FORMAT}",
            got=f"a {spec.get('kind')} of format {spec.get('format')}"[:200],
            do=f"Call {spec.get('kind')}.load(path), with the quickstudy that wrote it, or save it anew with this one."[:200],
        )
    config = read_record(path / ESTIMATOR, Saved, [path / SUPPORT], expected=f"an estimator and {SUPPORT} of one save", do=AGAIN)
    learner = load_learner(path / LEARNER, **foreign) if config.learner else None
    if not isinstance(learner, Learner | None):
        raise CheckpointError(str(path / LEARNER), expected="a saved learner", got="a saved predictor", do=AGAIN)
    estimator = _build(cls, learner, path)
    x, y = _support(read_tensors(path / SUPPORT, do=AGAIN), path)
    if isinstance(estimator, FewShotClassifier):
        estimator.unknown = config.unknown
        y = _labels(config, path)[_indices(y, len(config.classes), path)]
    estimator.feature_shape_, estimator.n_features_in_ = tuple(x.shape[1:]), x.shape[1]
    assert isinstance(estimator, FewShotClassifier | FewShotRegressor)
    if isinstance(estimator, FewShotClassifier):
        estimator.head = config.chosen
    estimator._fit(x, y)
    if isinstance(estimator, FewShotClassifier):
        estimator.head = config.head
    return estimator


def _support(tensors: dict[str, Tensor], path: Path) -> tuple[Tensor, np.ndarray]:
    """x (examples, *feature) and y (examples, ...) of a fitted estimator."""
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found.keys() != {"x", "y"} or len(found["x"]) < 2 or not found["y"] or not 0 < found["x"][0] == found["y"][0]:
        raise CheckpointError(str(path / SUPPORT), expected="x, and y for each row of it", got=str(found)[:200], do=AGAIN)
    return tensors["x"], tensors["y"].numpy()


def _labels(config: Saved, path: Path) -> np.ndarray:
    """The class labels, of the type that they had."""
    expected = "sorted class labels, and their type"
    if not DTYPES.fullmatch(config.dtype):
        raise CheckpointError(str(path / ESTIMATOR), expected=expected, got=f"the type {config.dtype!r}"[:100], do=AGAIN)
    try:
        labels = np.asarray(config.classes, dtype=np.dtype(config.dtype))
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(str(path / ESTIMATOR), expected=expected, got=f"what does not fit: {error}", do=AGAIN) from error
    if not len(labels) or not np.array_equal(labels, np.unique(labels)):
        raise CheckpointError(str(path / ESTIMATOR), expected=expected, got=str(config.classes)[:100], do=AGAIN)
    return labels


def _indices(y: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """y as indices of class labels."""
    if y.ndim != 1 or y.dtype != np.int64 or not 0 <= y.min() <= y.max() < classes:
        got = f"{y.dtype} of shape {y.shape}, from {y.min()} to {y.max()}"
        raise CheckpointError(str(path / SUPPORT), expected=f"y of int64, from 0 to {classes - 1}", got=got, do=AGAIN)
    return y


def _from_predictor(estimator: Estimator, predictor: Predictor, path: Path) -> Estimator:
    if (predictor.ways is None) == isinstance(estimator, FewShotClassifier):
        raise CheckpointError(
            str(path),
            expected=f"a predictor of {'classes' if predictor.ways is None else 'targets'}, as {type(estimator).__name__} needs",
            got=f"one of {'targets' if predictor.ways is None else 'classes'}",
            do="Use FewShotRegressor for targets and FewShotClassifier for classes.",
        )
    if not predictor.features:
        raise CheckpointError(
            str(path),
            expected="a predictor that was adapted to a support, which says the shape of an example",
            got="one that answers without a support",
            do="Load it by qs.load(path), and call predictor.predict(x).",
        )
    estimator.predictor_, estimator.support_x_ = predictor, None
    estimator.feature_shape_ = predictor.features[0]
    estimator.n_features_in_ = predictor.features[0][0]
    if isinstance(estimator, FewShotClassifier):
        estimator.classes_, estimator.head_ = np.arange(predictor.ways or 0), OWN
    elif isinstance(estimator, FewShotRegressor):
        estimator.target_shape_ = None
    return estimator


def _build(cls: type[Estimator], learner: Learner | None, path: Path) -> Estimator:
    """An estimator that is not fitted, with the calibration and preprocessing of the folder."""
    estimator = cls()
    estimator.learner = learner
    if (path / PREPROCESSING).is_file():
        estimator.preprocessing = Preprocessing.load(path)
    if isinstance(estimator, FewShotClassifier) and (found := list(calibrations(path).values())):
        estimator.calibration = found[0] if len(found) == 1 else found
    return estimator


def _plain(labels: list[Any]) -> list[Any]:
    """The labels, if JSON can hold them."""
    if not all(isinstance(one, str | int | float | bool) for one in labels):
        raise UnsupportedError(
            "save(path)",
            expected="class labels that are text or numbers",
            got=f"labels of type {sorted({type(one).__name__ for one in labels})}",
            do="Fit with text labels.",
        )
    return labels
