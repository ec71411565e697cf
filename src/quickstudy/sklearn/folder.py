"""A fitted estimator as a folder: estimator.json, support.safetensors, learner/, calibration.json, preprocessing.json
(those that were given).

As in any folder of quickstudy, nothing in it can run code. Loading adapts the learner to the support set again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from quickstudy.artifacts.store import load as load_learner
from quickstudy.artifacts.store import run_folder
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import CheckpointError, UnsupportedError
from quickstudy.evaluation.calibration import CALIBRATION, Calibration
from quickstudy.files import write_json, writing
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.sklearn.classifier import FewShotClassifier
from quickstudy.sklearn.estimator import FewShotEstimator
from quickstudy.sklearn.regressor import FewShotRegressor

FORMAT = 1
ESTIMATOR, SUPPORT, LEARNER = "estimator.json", "support.safetensors", "learner"
PREPROCESSING = "preprocessing.json"  # as in the folder of a run

Estimator = TypeVar("Estimator", bound=FewShotEstimator)


def save(estimator: FewShotEstimator, path: Path) -> None:
    """Write the folder, its own file last."""
    x = estimator._kept_support("save(path)")
    path.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"format": FORMAT, "kind": type(estimator).__name__, "learner": estimator.learner is not None}
    if isinstance(estimator, FewShotClassifier):
        config |= {"classes": _plain(estimator.classes_.tolist()), "dtype": estimator.classes_.dtype.str}
        config["unknown"] = None if estimator.unknown is None else _plain([estimator.unknown])[0]
        y = torch.from_numpy(np.searchsorted(estimator.classes_, estimator.support_y_).astype(np.int64))
        if estimator.calibration is not None:
            estimator.calibration.save(path)
    else:
        y = torch.from_numpy(np.asarray(estimator.support_y_, dtype=np.float64))
    if estimator.preprocessing is not None:
        write_json(path / PREPROCESSING, estimator.preprocessing.to_dict())
    if estimator.learner is not None:
        estimator.learner.save(path / LEARNER)
    with writing(path / SUPPORT) as part:
        save_file({"x": x.contiguous(), "y": y.contiguous()}, part)
    write_json(path / ESTIMATOR, config, indent=2)


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
    config = json.loads((path / ESTIMATOR).read_text(encoding="utf-8"))
    if config.get("kind") != cls.__name__ or config.get("format", FORMAT + 1) > FORMAT:
        raise CheckpointError(
            str(path),
            expected=f"a {cls.__name__} of format {FORMAT} or older",
            got=f"a {config.get('kind')} of format {config.get('format')}",
            do=f"Call {config.get('kind')}.load(path), with the quickstudy that wrote it or a newer one.",
        )
    learner = load_learner(path / LEARNER, **foreign) if config["learner"] else None
    assert learner is None or isinstance(learner, Learner)
    estimator = _build(cls, learner, path)
    support = load_file(path / SUPPORT)
    x, y = support["x"], support["y"].numpy()
    if isinstance(estimator, FewShotClassifier):
        estimator.unknown = config["unknown"]
        y = np.asarray(config["classes"], dtype=np.dtype(config["dtype"]))[y]
    estimator.feature_shape_, estimator.n_features_in_ = tuple(x.shape[1:]), x.shape[1]
    assert isinstance(estimator, FewShotClassifier | FewShotRegressor)
    estimator._fit(x, y)
    return estimator


def _from_predictor(estimator: Estimator, predictor: Predictor, path: Path) -> Estimator:
    if (predictor.ways is None) == isinstance(estimator, FewShotClassifier):
        raise CheckpointError(
            str(path),
            expected=f"a predictor of {'classes' if predictor.ways is None else 'targets'}, as {type(estimator).__name__} needs",
            got=f"one of {'targets' if predictor.ways is None else 'classes'}",
            do="Use FewShotRegressor for targets and FewShotClassifier for classes.",
        )
    estimator.predictor_, estimator.support_x_ = predictor, None
    estimator.feature_shape_ = predictor.features[0]
    estimator.n_features_in_ = predictor.features[0][0]
    if isinstance(estimator, FewShotClassifier):
        estimator.classes_ = np.arange(predictor.ways or 0)
    elif isinstance(estimator, FewShotRegressor):
        estimator.target_shape_ = None
    return estimator


def _build(cls: type[Estimator], learner: Learner | None, path: Path) -> Estimator:
    """An estimator that is not fitted, with the calibration and preprocessing of the folder."""
    estimator = cls()
    estimator.learner = learner
    if (path / PREPROCESSING).is_file():
        spec = json.loads((path / PREPROCESSING).read_text(encoding="utf-8"))
        estimator.preprocessing = Preprocessing.from_dict(spec)
    if isinstance(estimator, FewShotClassifier) and (path / CALIBRATION).is_file():
        estimator.calibration = Calibration.load(path)
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
