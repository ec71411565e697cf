"""Kinds of target: what y is. The kind decides the loss, the scores, how an output is read, and which shapes fit.

    kind               y                                output             loss                      score
    Labels(ways)       int64 (n,)                       (n, ways)          cross-entropy             accuracy
    Values()           float (n, *target)               (n, *target)       mean squared error        mse
    Values("normal")   float (n, *target)               (n, *target, 2)    negative log likelihood   nll
    MultiLabel()       0, 1 (n, c), NaN = not known     (n, c)             binary cross-entropy      mean_average_precision
    Binary()           0, 1 (n,)                        (n,) or (n, 2)     binary cross-entropy      roc_auc
    TokenLabels(ways)  int64 (n, length), -100 = none   (n, length, ways)  cross-entropy             token_accuracy

A kind is static metadata of `Examples`: it is never a tensor, so vmap and torch.compile look through it. Where nobody says,
integers are labels and floating-point numbers are values. Shapes of prediction and y are checked here and nowhere else, so that
nothing broadcasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError, ShapeError, UnsupportedError

NONE = -100  # the label of a token that has none


@dataclass(frozen=True)
class Target:
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

    def check(self, argument: str, y: Tensor) -> None:
        """Raise where y, of one task or of a batch of tasks, is not of this kind.

        Raises:
            LabelError: another dtype, another number of axes, or values that are no target of this kind.
        """
        raise NotImplementedError

    def missing(self, y: Tensor) -> Tensor | None:
        """Which entries of y stand for "not known"; None for a kind that has no such entries."""
        return None

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        """Whether the prediction for y has the shape of this kind."""
        raise NotImplementedError

    def outputs(self, y: Tensor) -> str:
        """In words, the shapes that a prediction for y may have."""
        raise NotImplementedError

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The loss of every example (n,), of shapes that fit."""
        raise NotImplementedError

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

    def read(self, prediction: Tensor) -> Tensor:
        """The prediction as y is written."""
        raise NotImplementedError

    def probabilities(self, prediction: Tensor) -> Tensor:
        """The probabilities that the prediction stands for.

        Raises:
            UnsupportedError: the kind has none.
        """
        raise UnsupportedError(
            "predict_proba", expected="a task with classes", got=repr(self), do="Use predictor(x) for the predicted targets."
        )


@dataclass(frozen=True)
class Labels(Target):
    """One of `count` classes: y int64 (n,) of 0..count-1, logits (n, count).

    A network may have more outputs than the task has classes; those beyond are never an answer.

    Raises:
        ArgumentError: no class.
    """

    count: int

    scores = ("accuracy",)
    averaged = "softmax"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ArgumentError("ways", expected="0 or more", got=str(self.count), do="Give the number of classes.")

    @property
    def ways(self) -> int:
        return self.count

    def check(self, argument: str, y: Tensor) -> None:
        check_integers(argument, y, self.count, axes=(1, 2), shape="(examples,), or of a batch (tasks, examples)")

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.ndim == y.ndim + 1 and prediction.shape[:-1] == y.shape and prediction.shape[-1] >= self.count

    def outputs(self, y: Tensor) -> str:
        return f"{(*y.shape, self.count)}: one row of at least {self.count} logits for each example"

    def logits(self, prediction: Tensor) -> Tensor:
        """Those of the task's own classes."""
        return prediction[..., : self.count]

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y, reduction="none")

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y)

    def read(self, prediction: Tensor) -> Tensor:
        return self.logits(prediction).argmax(-1)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return self.logits(prediction).softmax(-1)


@dataclass(frozen=True)
class Values(Target):
    """Numbers: y (n, *target), floating-point.

    Args:
        distribution: None: the output is the value. "normal": the output (n, *target, 2) is the mean and the logarithm of the
            variance of a normal distribution.
    """

    distribution: Literal["normal"] | None = None

    def __post_init__(self) -> None:
        if self.distribution not in (None, "normal"):
            raise ArgumentError("distribution", expected="None or 'normal'", got=repr(self.distribution), do="Use one of them.")

    @property
    def scores(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("mse", "rmse") if self.distribution is None else ("nll", "rmse")

    def check(self, argument: str, y: Tensor) -> None:
        if not y.is_floating_point():
            raise LabelError(
                argument,
                expected="targets, floating-point numbers (examples, *target)",
                got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}",
                do="Convert it with y.float(); class labels are int64, y.long().",
            )

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape == (y.shape if self.distribution is None else (*y.shape, 2))

    def outputs(self, y: Tensor) -> str:
        return str(tuple(y.shape) if self.distribution is None else (*y.shape, 2))

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return self._loss(prediction, y).reshape(len(y), -1).mean(1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(prediction, y) if self.distribution is None else self._loss(prediction, y).mean()

    def read(self, prediction: Tensor) -> Tensor:
        return prediction if self.distribution is None else prediction[..., 0]

    def _loss(self, prediction: Tensor, y: Tensor) -> Tensor:
        if self.distribution is None:
            return (prediction - y) ** 2
        mean, log_variance = prediction.unbind(-1)
        return 0.5 * (log_variance + (y - mean) ** 2 * (-log_variance).exp() + LOG_2PI)


LOG_2PI = 1.8378770664093453


@dataclass(frozen=True)
class MultiLabel(Target):
    """Several classes at once: y (n, classes) of 0, 1, and NaN where it is not known; one logit for each.

    An entry that is not known counts in no loss and in no score.

    Args:
        names: of the classes.
    """

    names: tuple[str, ...] | None = None

    scores = ("mean_average_precision", "accuracy")
    averaged = "sigmoid"

    def check(self, argument: str, y: Tensor) -> None:
        _check_zeros_and_ones(argument, y, known=~y.isnan() if y.is_floating_point() else None, axes=(2, 3))
        if self.names is not None and y.shape[-1] != len(self.names):
            raise LabelError(
                argument,
                expected=f"{len(self.names)} columns, one for each name",
                got=f"y of shape {tuple(y.shape)}",
                do="Give a name for each column of y.",
            )

    def missing(self, y: Tensor) -> Tensor:
        return y.isnan()

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape == y.shape

    def outputs(self, y: Tensor) -> str:
        return f"{tuple(y.shape)}: a logit for each class"

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss, known = self._loss(prediction, y)
        return (loss * known).sum(-1) / known.sum(-1).clamp(min=1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss, known = self._loss(prediction, y)
        return (loss * known).sum() / known.sum().clamp(min=1)

    def read(self, prediction: Tensor) -> Tensor:
        return (prediction > 0).to(prediction.dtype)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return prediction.sigmoid()

    def _loss(self, prediction: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        known = ~y.isnan()
        return F.binary_cross_entropy_with_logits(prediction, y.nan_to_num(0.0), reduction="none"), known.to(prediction.dtype)


@dataclass(frozen=True)
class Binary(Target):
    """Yes or no: y of 0 and 1 (n,); one logit (n,), or two (n, 2), no and yes."""

    scores = ("roc_auc", "average_precision")
    averaged = "binary"

    def check(self, argument: str, y: Tensor) -> None:
        _check_zeros_and_ones(argument, y, known=None, axes=(1, 2))

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape in (y.shape, (*y.shape, 2))

    def outputs(self, y: Tensor) -> str:
        return f"{tuple(y.shape)} or {(*y.shape, 2)}: one logit, or two"

    def logit(self, prediction: Tensor, ndim: int = 1) -> Tensor:
        """Of yes, (n,)."""
        return prediction[..., 1] - prediction[..., 0] if prediction.ndim > ndim else prediction

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.logit(prediction), y.to(prediction.dtype), reduction="none")

    def read(self, prediction: Tensor) -> Tensor:
        return (self.logit(prediction) > 0).to(torch.int64)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return self.logit(prediction).sigmoid()


@dataclass(frozen=True)
class TokenLabels(Target):
    """A class for each token: y int64 (n, length), -100 where a token has none; logits (n, length, count).

    Args:
        count: how many classes.
        names: of the classes.

    Raises:
        ArgumentError: no class, or another number of names.
    """

    count: int
    names: tuple[str, ...] | None = None

    scores = ("token_accuracy",)
    averaged = "softmax"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ArgumentError("TokenLabels(count)", expected="1 or more", got=str(self.count), do="Give the number of classes.")
        if self.names is not None and len(self.names) != self.count:
            raise ArgumentError(
                "names", expected=f"{self.count} names, one for each class", got=str(len(self.names)), do="Name every class."
            )

    @property
    def ways(self) -> int:
        return self.count

    def check(self, argument: str, y: Tensor) -> None:
        check_integers(
            argument, y, self.count, axes=(2, 3), shape="(examples, length), or of a batch (tasks, examples, length)", none=True
        )

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.ndim == y.ndim + 1 and prediction.shape[:-1] == y.shape and prediction.shape[-1] >= self.count

    def outputs(self, y: Tensor) -> str:
        return f"{(*y.shape, self.count)}: at least {self.count} logits for each token"

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(prediction[..., : self.count].movedim(-1, 1), y, reduction="none", ignore_index=NONE)
        return loss.sum(1) / (y != NONE).sum(1).clamp(min=1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(prediction[..., : self.count].movedim(-1, 1), y, reduction="sum", ignore_index=NONE)
        return loss / (y != NONE).sum().clamp(min=1)

    def read(self, prediction: Tensor) -> Tensor:
        return prediction[..., : self.count].argmax(-1)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return prediction[..., : self.count].softmax(-1)


# ---- checks ------------------------------------------------------------------------------------------------------------


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


def check_integers(argument: str, y: Tensor, count: int, axes: tuple[int, ...], shape: str, none: bool = False) -> None:
    """Raise where y is not int64 of so many axes with values 0..count-1, or -100 where that is allowed."""
    if y.dtype != torch.int64 or y.ndim not in axes:
        raise LabelError(
            argument,
            expected=f"labels, int64 {shape}",
            got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}",
            do="Take the column, y[:, 0]." if y.shape[-1:] == (1,) else "Convert class labels with y.long().",
        )
    if y.numel() == 0:
        return
    low, high = (int(one) for one in torch.aminmax(y.where(y != NONE, 0) if none else y))
    if low < 0 or high >= count:
        raise LabelError(
            argument,
            expected=f"labels from 0 to {count - 1}, of {count} classes" + (f", and {NONE} for none" if none else ""),
            got=f"the label {low if low < 0 else high}",
            do="Number the classes of the task from 0 (torch.unique(y, return_inverse=True)[1]), or give their true number.",
        )


def _check_zeros_and_ones(argument: str, y: Tensor, known: Tensor | None, axes: tuple[int, ...]) -> None:
    values = y if known is None else y[known]
    right = y.ndim in axes and y.dtype != torch.bool and bool(((values == 0) | (values == 1)).all())
    if not right:
        missing = ", NaN where it is not known" if known is not None else ""
        found = [round(float(one), 4) for one in torch.unique(values)[:6]]
        raise LabelError(
            argument,
            expected=f"0 and 1{missing}, in {axes[0]} axes, or {axes[1]} of a batch of tasks",
            got=f"y of dtype {y.dtype} and shape {tuple(y.shape)} with the values {found}",
            do="Convert truth values with y.float(); class labels of more than two classes are Labels(ways).",
        )
