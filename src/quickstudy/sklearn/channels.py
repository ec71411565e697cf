"""Images as scikit-learn's users have them, (N, height, width, channels), in the order that networks take."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import ShapeError
from quickstudy.learners.learner import Learner


def channels_first(X: Any, learner: Learner, preprocessing: Preprocessing | None) -> Any:
    """X with the channels of its images in front; unchanged if they are there already, or if nothing says that X holds images.

    The number of channels, 1 or 3, is that of `preprocessing`, or of the learner's first convolution.

    Raises:
        ShapeError: the channels could be the first axis of an image as well as its last.
    """
    if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) == 3:
        X = np.asarray(X)
    channels = _channels(learner) if preprocessing is None else preprocessing.channels
    if channels not in (1, 3) or getattr(X, "ndim", 0) != 4 or X.shape[3] != channels:
        return X
    if X.shape[1] != channels:
        return np.moveaxis(X, 3, 1)
    sides = None if preprocessing is None else (preprocessing.size, preprocessing.size)
    first, last = X.shape[2:] == sides, X.shape[1:3] == sides
    if first == last:
        raise ShapeError(
            "X",
            expected=f"images with {channels} channels as their first axis or as their last",
            got=f"images of shape {tuple(X.shape[1:])}, which may be either",
            do="Images of another height and width tell it: pad or resize them.",
        )
    return X if first else np.moveaxis(X, 3, 1)


def _channels(learner: Learner) -> int | None:
    """The channels that the learner's first convolution takes; None if it has none, or a lazy one."""
    return next((module.in_channels for module in learner.modules() if isinstance(module, nn.Conv2d)), None)
