"""Yes or no: one answer for each example, or for each of several labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import LabelError
from quickstudy.targets.target import Target, entropy


@dataclass(frozen=True)
class Binary(Target):
    """Yes or no: y (n,) of 0 and 1; one logit (n,), or two (n, 2) for no and yes.

    Examples:
        >>> target = qs.targets.Binary()
        >>> target.read(torch.tensor([-1.0, 2.0])).tolist()
        [0, 1]
        >>> target.probabilities(torch.tensor([[3.0, 3.0]])).tolist()
        [0.5]
    """

    scores = ("roc_auc", "average_precision")
    averaged = "binary"

    def check(self, argument: str, y: Tensor) -> None:
        _check_zeros_and_ones(argument, y, known=None, axes=(1, 2))

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape in (y.shape, (*y.shape, 2))

    def outputs(self, y: Tensor) -> str:
        return f"{tuple(y.shape)} or {(*y.shape, 2)}: one logit, or two"

    def logit(self, prediction: Tensor) -> Tensor:
        """The logit of yes, (n,)."""
        return prediction[..., 1] - prediction[..., 0] if prediction.ndim == 2 else prediction

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.logit(prediction), y.to(prediction.dtype), reduction="none")

    def read(self, prediction: Tensor) -> Tensor:
        return (self.logit(prediction) > 0).to(torch.int64)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return self.logit(prediction).sigmoid()

    def uncertainty(self, prediction: Tensor) -> Tensor:
        return _of_yes(self.probabilities(prediction))


@dataclass(frozen=True)
class MultiLabel(Target):
    """Several classes at once: y (n, classes) of 0, 1, and NaN for unknown; one logit for each.

    Losses and scores leave unknown entries out.

    Args:
        names: names of the classes.

    Examples:
        >>> y = torch.tensor([[1.0, 0.0, torch.nan]])
        >>> round(float(qs.targets.MultiLabel().loss(torch.tensor([[0.0, 0.0, 9.0]]), y)), 4)
        0.6931
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

    def uncertainty(self, prediction: Tensor) -> Tensor:
        return _of_yes(self.probabilities(prediction)).mean(1)

    def _loss(self, prediction: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        known = ~y.isnan()
        return F.binary_cross_entropy_with_logits(prediction, y.nan_to_num(0.0), reduction="none"), known.to(prediction.dtype)


def _of_yes(probability: Tensor) -> Tensor:
    """The entropy of yes or no."""
    return entropy(torch.stack([probability, 1 - probability], -1))


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
