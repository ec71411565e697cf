"""Target: the base of the kinds of target, and the one check of shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from quickstudy.errors import ShapeError, UnsupportedError


@dataclass(frozen=True)
class Target(ABC):
    """The base of every kind.

    Attributes:
        scores: names of the metrics that `evaluate` takes where none are given, the score first.
        averaged: what an ensemble averages: probabilities, "softmax" or "sigmoid" ("binary": the one or the other, by the number
            of outputs), or "values".
    """

    scores: ClassVar[tuple[str, ...]] = ()
    averaged: ClassVar[Literal["softmax", "sigmoid", "binary", "values"]] = "values"

    @property
    def ways(self) -> int | None:
        """The number of classes; None for a kind without classes."""
        return None

    @abstractmethod
    def check(self, argument: str, y: Tensor) -> None:
        """Raise where y, of one task or of a batch of tasks, is not of this kind.

        Raises:
            LabelError: another dtype, another number of axes, or values that are no target of this kind.
        """

    def missing(self, y: Tensor) -> Tensor | None:
        """Which entries of y stand for "not known"; None for a kind that has no such entries."""
        return None

    @abstractmethod
    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        """Whether the prediction for y has the shape of this kind."""

    @abstractmethod
    def outputs(self, y: Tensor) -> str:
        """In words, the shapes that a prediction for y may have."""

    @abstractmethod
    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of every example (n,), of shapes that fit."""

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of all examples, a scalar, of shapes that fit."""
        return self.each(prediction, y).mean()

    def loss(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of all examples, a scalar.

        Raises:
            ShapeError: a prediction of another shape than y asks for.
        """
        check_fit(self, prediction, y)
        return self.mean(prediction, y)

    @abstractmethod
    def read(self, prediction: Tensor) -> Tensor:
        """The prediction as y is written."""

    def probabilities(self, prediction: Tensor) -> Tensor:
        """The probabilities that the prediction stands for.

        Raises:
            UnsupportedError: the kind has none.
        """
        raise UnsupportedError(
            "predict_proba", expected="a task with classes", got=repr(self), do="Use predictor(x) for the predicted targets."
        )


def check_fit(target: Target, prediction: Tensor, y: Tensor) -> None:
    """Raise where a prediction has not the shape that y asks for.

    Raises:
        ShapeError: so it is.
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
    """The same for a loss of one's own, which may ask for other outputs, as the parameters of a distribution.

    What never fits: fewer logits than classes, and as many numbers as y has in another shape, which would broadcast.

    Raises:
        ShapeError: so it is.
    """
    if target.ways is not None or (prediction.shape != y.shape and prediction.numel() == y.numel()):
        check_fit(target, prediction, y)
