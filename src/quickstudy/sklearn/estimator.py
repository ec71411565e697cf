"""The shared base of the classifier and the regressor: reading X and y, adapting, predicting in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.learners.learner import Learner
from quickstudy.learners.predictor import Predictor
from quickstudy.sklearn.channels import channels_first
from quickstudy.sklearn.inputs import are_tokens, as_array, as_input, check_features

BATCH = 1024  # queries of one forward pass, unless the learner is transductive


class FewShotEstimator(BaseEstimator):
    """The base of FewShotClassifier and FewShotRegressor. fit sets support_x_, support_y_, predictor_ and feature_shape_."""

    learner: Learner | None
    preprocessing: Preprocessing | None
    support_x_: Tensor | None

    def save(self, path: str | Path) -> None:
        """Save the settings, the learner and the support set to a folder. `load` reads it back.

        Raises:
            UnsupportedError: class labels are neither text nor numbers.
            NotFittedError: the estimator is not fitted.
        """
        from quickstudy.sklearn.folder import save

        check_is_fitted(self)
        save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, **foreign: Any) -> Self:
        """Load from a folder that `save` wrote, or from the folder of a run, a learner or a predictor.

        The folder of a run or a learner gives an estimator that is not fitted yet, with the folder's `calibration.json` and
        `preprocessing.json`. The folder of a predictor gives a fitted one, with the classes 0..ways-1.

        Args:
            foreign: your own networks and functions, as for `quickstudy.load`.

        Raises:
            CheckpointError: no such folder; another kind of estimator wrote it.
        """
        from quickstudy.sklearn.folder import load

        return load(cls, Path(path), foreign)

    def _learner(self) -> Learner:
        if self.learner is None:
            return self._default()
        if not isinstance(self.learner, Learner):
            raise UnsupportedError(
                "learner",
                expected="a quickstudy learner, or None",
                got=f"a {type(self.learner).__name__}",
                do="Put a network into one: quickstudy.from_backbone(module), or MAML(module, inner_lr=0.01).",
            )
        return self.learner

    def _default(self) -> Learner:
        raise NotImplementedError

    def _read(self, X: Any, y: Any, **checks: Any) -> tuple[Tensor, np.ndarray]:
        """X and y of fit, checked: X as the learner's input (examples, *feature), y as an array."""
        X, tokens = as_array(X), are_tokens(X)
        X = channels_first(X, self._learner(), self.preprocessing)
        x, y = validate_data(self, X, as_array(y), allow_nd=True, **checks)
        self.feature_shape_ = tuple(x.shape[1:])
        return as_input(x, self._learner(), tokens, self.preprocessing), y

    def _read_queries(self, X: Any) -> Tensor:
        check_is_fitted(self)
        X, tokens = as_array(X), are_tokens(X)
        X = channels_first(X, self.predictor_.learner, self.preprocessing)
        if not isinstance(X, str):
            check_features(type(self).__name__, X, self.feature_shape_)
        x = validate_data(self, X, reset=False, allow_nd=True)
        return as_input(x, self.predictor_.learner, tokens, self.preprocessing)

    def _adapt(self, support: Examples) -> None:
        self.predictor_: Predictor = self._learner().adapt(support)
        self.support_x_ = support.x

    def _answer(self, X: Any) -> Tensor:
        """(examples, ways) or (examples, targets), in float64 on the CPU."""
        x = self._read_queries(X)
        whole = self.predictor_.learner.normalisation == "transductive"
        answers = [self.predictor_(part) for part in ([x] if whole else x.split(BATCH))]
        return torch.cat(answers).detach().to("cpu", torch.float64)

    def _kept_support(self, what: str) -> Tensor:
        check_is_fitted(self)
        if self.support_x_ is None:
            raise UnsupportedError(
                what,
                expected="an estimator that holds its support set",
                got="one loaded from a predictor, which holds only what was learned from it",
                do="Fit it, or load a folder that the estimator's own save(path) wrote.",
            )
        return self.support_x_
