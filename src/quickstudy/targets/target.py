"""Target: the base of the kinds of target, and the one check of shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import ShapeError, UnsupportedError


@dataclass(frozen=True)
class Target(ABC):
    """The base class of every kind of target.

    Attributes:
        scores: names of the metrics that `evaluate` computes by default, the main score first.
        averaged: what an ensemble averages: "softmax" or "sigmoid" probabilities ("binary": one of the two, by the number of
            outputs), or "values".

    Examples:
        >>> class Counts(qs.targets.Target):
        ...     def check(self, argument, y): assert bool((y >= 0).all())
        ...     def fits(self, prediction, y): return prediction.shape == y.shape
        ...     def outputs(self, y): return f"{tuple(y.shape)}: the logarithm of each rate"
        ...     def each(self, prediction, y): return torch.nn.functional.poisson_nll_loss(prediction, y, reduction="none")
        ...     def read(self, prediction): return prediction.exp()
        >>> examples = qs.Examples(torch.randn(2, 3), torch.tensor([0.0, 2.0]), target=Counts())
        >>> float(examples.target.loss(torch.zeros(2), examples.y))
        1.0
    """

    scores: ClassVar[tuple[str, ...]] = ()
    averaged: ClassVar[Literal["softmax", "sigmoid", "binary", "values"]] = "values"

    @property
    def ways(self) -> int | None:
        """The number of classes; None for a kind without classes."""
        return None

    @abstractmethod
    def check(self, argument: str, y: Tensor) -> None:
        """Raise if y, of one task or of a batch of tasks, is not of this kind.

        Raises:
            LabelError: y has another dtype, another number of axes, or values that this kind does not allow.
        """

    def missing(self, y: Tensor) -> Tensor | None:
        """Which entries of y are unknown; None for a kind without such entries."""
        return None

    @abstractmethod
    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        """Whether the prediction for y has the shape of this kind."""

    @abstractmethod
    def outputs(self, y: Tensor) -> str:
        """The shapes that a prediction for y may have, in words."""

    @abstractmethod
    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of every example (n,), for shapes that fit."""

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of all examples, a scalar, for shapes that fit."""
        return self.each(prediction, y).mean()

    def loss(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of all examples, a scalar.

        Raises:
            ShapeError: the shape of the prediction does not fit y.
        """
        check_fit(self, prediction, y)
        return self.mean(prediction, y)

    @abstractmethod
    def read(self, prediction: Tensor) -> Tensor:
        """The prediction in the format of y, as a tensor."""

    def named(self, y: Tensor) -> Tensor | np.ndarray:
        """Such an answer as the user wrote y: the names of classes, for a kind that has them."""
        return y

    def probabilities(self, prediction: Tensor) -> Tensor:
        """The predicted probabilities.

        Raises:
            UnsupportedError: the kind has none.
        """
        raise UnsupportedError(
            "predict_proba", expected="a task with classes", got=repr(self), do="Use predictor(x) for the predicted targets."
        )

    def uncertainty(self, prediction: Tensor) -> Tensor:
        """The entropy of the predicted distribution of each example, in nats: (n,), larger where less is certain.

        Of several labels or tokens it is the mean over them, of several values the sum.

        Raises:
            UnsupportedError: the prediction is no distribution.
        """
        raise UnsupportedError(
            "most_uncertain",
            expected="a task with classes, or values with a variance: targets.Values('normal')",
            got=repr(self),
            do="Take a learner that predicts a distribution, such as NeuralProcess.",
        )


def entropy(probabilities: Tensor) -> Tensor:
    """-sum_k p_k log p_k over the last axis."""
    return torch.special.entr(probabilities).sum(-1)


def check_fit(target: Target, prediction: Tensor, y: Tensor) -> None:
    """Check that the shape of a prediction fits y.

    Raises:
        ShapeError: it does not.
    """
    if not target.fits(prediction, y):
        raise ShapeError(
            "prediction",
            expected=f"for y of shape {tuple(y.shape)}, {target!r}, outputs of shape {target.outputs(y)}",
            got=str(tuple(prediction.shape)),
            do=_advice(target, prediction, y),
        )


def _advice(target: Target, prediction: Tensor, y: Tensor) -> str:
    if prediction.shape[:1] != y.shape[:1]:
        return "A network gives a row for each example: bring x to the size that it was built for, as preprocessing.json says."
    if target.ways is not None and prediction.ndim == y.ndim + 1:
        return f"Build the network with {target.ways} outputs, ways={target.ways}."
    return "Give the network that many outputs, bring y to their shape, or say what y is: Examples(x, y, target=...)."


def check_fit_of_own(target: Target, prediction: Tensor, y: Tensor) -> None:
    """The same for a custom loss, which may need other outputs, such as the parameters of a distribution.

    Two cases never fit: fewer logits than classes, and as many numbers as y in another shape, which would broadcast.

    Raises:
        ShapeError: one of these two.
    """
    if target.ways is not None or (prediction.shape != y.shape and prediction.numel() == y.numel()):
        check_fit(target, prediction, y)
