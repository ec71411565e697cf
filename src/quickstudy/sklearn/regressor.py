"""FewShotRegressor: a quickstudy learner as a scikit-learn regressor."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import RegressorMixin
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.episode import Examples
from quickstudy.errors import ShapeError
from quickstudy.learners.learner import Learner
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.wrap.standardised import Standardised
from quickstudy.sklearn.estimator import FewShotEstimator


class FewShotRegressor(RegressorMixin, FewShotEstimator):
    """Regress with a learner that adapts to the examples given to fit.

        state  =  learn(X, y)         fit
        y(x)   =  predict(state, x)

    X is (examples, *feature), y is (examples,) or (examples, targets); the learner always sees (examples, targets).

    Args:
        learner: any quickstudy learner for regression (MAML, Ridge, ...); None: ridge regression on standardised features.
        preprocessing: normalises images, uint8 or in [0, 1], as the learner's meta-training did; None: no normalisation.

    Attributes:
        predictor_: the adapted learner.
        support_x_, support_y_: the examples that it was adapted to.
        feature_shape_: the shape of one example.

    Examples:
        >>> x = torch.linspace(0, 1, 20)[:, None]
        >>> regressor = qs.FewShotRegressor().fit(x, 2 * x[:, 0] + 1)
        >>> regressor.predict([[0.5]]).shape
        (1,)
        >>> regressor.score(x, 2 * x[:, 0] + 1) > 0.99
        True
    """

    target_shape_: tuple[int, ...] | None

    def __init__(self, learner: Learner | None = None, *, preprocessing: Preprocessing | None = None):
        self.learner = learner
        self.preprocessing = preprocessing

    def fit(self, X: Any, y: Any) -> Self:
        """Adapt to the support set X (examples, *feature) with targets y (examples,) or (examples, targets)."""
        return self._fit(*self._read(X, y, y_numeric=True, multi_output=True))

    def predict(self, X: Any) -> np.ndarray:
        """The predictions, (examples,) or (examples, targets), in the form of fit's y.

        Raises:
            ShapeError: examples of another shape than in fit; the learner predicts another number of targets.
        """
        answer = self._answer(X)
        if self.target_shape_ is None:
            return answer.numpy()
        targets = math.prod(self.target_shape_)
        if answer[:1].numel() != targets:
            raise ShapeError(
                "learner",
                expected=f"one that answers {targets} targets for each example, as y has",
                got=f"an answer of shape {tuple(answer.shape)}",
                do=f"Build its network with {targets} outputs.",
            )
        return answer.numpy().reshape(len(answer), *self.target_shape_)

    def _default(self) -> Learner:
        return Standardised(Ridge(intercept=True, normalisation="support")).double()

    def _fit(self, x: Tensor, y: np.ndarray) -> Self:
        self.support_y_, self.target_shape_ = y, y.shape[1:]
        dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
        targets = torch.from_numpy(np.array(y, dtype=np.float64)).reshape(len(y), -1)
        self._adapt(Examples(x, targets.to(x.device, dtype)))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
