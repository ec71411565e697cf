"""SoftLabels: shares of classes, as of an example that is mixed of several."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import LabelError
from quickstudy.targets.labels import Classes


@dataclass(frozen=True)
class SoftLabels(Classes):
    """Shares of `count` classes: y (n, count), each row of numbers from 0 to 1 that sum to 1; logits (n, count).

    The loss is the mean of cross-entropies by these shares, sum_k y_k loss(k), and so is the score. An output is read as
    probabilities. `tasks.MetaMix` makes such queries; the support that they belong to is of `Labels`.

    Args:
        count: number of classes.

    Examples:
        >>> target, y = qs.targets.SoftLabels(2), torch.tensor([[0.25, 0.75]])
        >>> round(float(target.loss(torch.tensor([[2.0, 0.0]]), y)), 4)
        1.6269
    """

    scores = ("nll",)
    each_of = "example"

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.ndim == 2 and prediction.shape[:1] == y.shape[:1] and prediction.shape[-1] >= self.count

    def outputs(self, y: Tensor) -> str:
        return f"{(*y.shape[:-1], self.count)}: one row of at least {self.count} logits for each {self.each_of}"

    def check(self, argument: str, y: Tensor) -> None:
        right = y.is_floating_point() and y.ndim in (2, 3) and y.shape[-1] == self.count
        if not right or not bool((y >= 0).all() & ((y.sum(-1) - 1).abs() < 1e-4).all()):
            raise LabelError(
                argument,
                expected=f"shares of {self.count} classes, (examples, {self.count}), each row from 0 to 1 with sum 1",
                got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}" + (", rows of another sum or sign" if right else ""),
                do="Divide each row by its sum; labels are Labels(ways).",
            )

    def read(self, prediction: Tensor) -> Tensor:
        return self.probabilities(prediction)

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y.to(prediction.dtype), reduction="none")

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y.to(prediction.dtype))
