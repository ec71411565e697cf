"""Convert the arrays, tensors and lists that scikit-learn's users pass to a learner's inputs, with checks."""

from __future__ import annotations

import warnings
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataWarning, ShapeError
from quickstudy.learners.learner import Learner

INVERT = "Give 255 - X (1 - X for numbers in [0, 1]), or read the files by a Preprocessing with the other `invert=`."


def as_array(values: Any) -> Any:
    """A tensor, or a list of them, as a NumPy array; anything else unchanged."""
    if isinstance(values, list | tuple) and values and all(isinstance(one, Tensor) for one in values):
        values = torch.stack(list(values))
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def as_input(x: np.ndarray, learner: Learner, tokens: bool, preprocessing: Preprocessing | None = None) -> Tensor:
    """A copy of x (examples, *feature), row by row, in the learner's dtype and on its device.

    uint8 images become numbers in [0, 1], as `LabelledTasks` makes them; other integers become floating-point numbers, unless
    they are `tokens`, a tensor of integers that index an embedding. Images are normalised by `preprocessing`.
    """
    tensor_of_learner = next((t for t in chain(learner.parameters(), learner.buffers()) if t.is_floating_point()), None)
    dtype = torch.get_default_dtype() if tensor_of_learner is None else tensor_of_learner.dtype
    tensor = torch.from_numpy(np.array(x, order="C")).to("cpu" if tensor_of_learner is None else tensor_of_learner.device)
    if tokens:
        return tensor
    if preprocessing is not None:
        applied = preprocessing.apply(tensor).to(dtype)
        if other := preprocessing.other_ground(tensor):
            warnings.warn(f"`X`: {other}. {INVERT}", DataWarning, stacklevel=4)
        return applied
    return tensor.to(dtype) / 255 if tensor.dtype == torch.uint8 else tensor.to(dtype)


def are_tokens(values: Any) -> bool:
    """Whether these are integers that index an embedding: an integer tensor other than uint8 images."""
    return isinstance(values, Tensor) and not (values.is_floating_point() or values.is_complex() or values.dtype == torch.uint8)


def check_features(estimator: str, X: Any, features: tuple[int, ...]) -> None:
    """Raise ShapeError if the examples of X have another shape than those of fit."""
    shape = tuple(X.shape) if hasattr(X, "shape") else np.asarray(X).shape
    if len(shape) < 2 or shape[1:] == features:
        return
    got = f"examples of shape {shape[1:]}"
    if len(shape) == 2 and len(features) == 1:
        got += f" (X has {shape[1]} features, but {estimator} is expecting {features[0]} features as input)"
    raise ShapeError(
        "X",
        expected=f"examples of shape {features}, as fit(X, y) had them",
        got=got,
        do="Bring X through the same preprocessing as at fit; one example alone is X[None].",
    )
