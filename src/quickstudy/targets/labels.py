"""Labels: one class for each example, or for each of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target

NONE = -100  # the label of a token without one


@dataclass(frozen=True)
class Classes(Target):
    """The base of `Labels` and `TokenLabels`: one of `count` classes, from logits along the last axis."""

    count: int

    averaged = "softmax"
    each_of: ClassVar[str]

    @property
    def ways(self) -> int:
        return self.count

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.ndim == y.ndim + 1 and prediction.shape[:-1] == y.shape and prediction.shape[-1] >= self.count

    def outputs(self, y: Tensor) -> str:
        return f"{(*y.shape, self.count)}: one row of at least {self.count} logits for each {self.each_of}"

    def logits(self, prediction: Tensor) -> Tensor:
        """The logits of the task's own classes."""
        return prediction[..., : self.count]

    def read(self, prediction: Tensor) -> Tensor:
        return self.logits(prediction).argmax(-1)

    def probabilities(self, prediction: Tensor) -> Tensor:
        return self.logits(prediction).softmax(-1)


@dataclass(frozen=True)
class Labels(Classes):
    """One of `count` classes: y int64 (n,) of 0..count-1, logits (n, count).

    A network may have more outputs than the task has classes; the others are ignored.

    Args:
        count: number of classes.

    Raises:
        ArgumentError: `count` is negative.

    Examples:
        >>> target, logits = qs.targets.Labels(3), torch.zeros(2, 3)
        >>> round(float(target.loss(logits, torch.tensor([0, 2]))), 4)
        1.0986
        >>> target.read(torch.tensor([[0.0, 2.0, 1.0, 9.0]])).tolist()
        [1]
    """

    scores = ("accuracy",)
    each_of = "example"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ArgumentError("ways", expected="0 or more", got=str(self.count), do="Give the number of classes.")

    def check(self, argument: str, y: Tensor) -> None:
        check_integers(argument, y, self.count, axes=(1, 2), shape="(examples,), or of a batch (tasks, examples)")

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y, reduction="none")

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y)


@dataclass(frozen=True)
class TokenLabels(Classes):
    """A class for each token: y int64 (n, length), -100 for a token without one; logits (n, length, count).

    Args:
        count: number of classes.
        names: names of the classes.

    Raises:
        ArgumentError: `count` is below 1, or the number of names is not `count`.

    Examples:
        >>> target, y = qs.targets.TokenLabels(4), torch.tensor([[2, 0, -100]])
        >>> round(float(target.loss(torch.zeros(1, 3, 4), y)), 4)
        1.3863
        >>> target.read(torch.zeros(1, 3, 4)).shape
        torch.Size([1, 3])
    """

    names: tuple[str, ...] | None = None

    scores = ("token_accuracy",)
    each_of = "token"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ArgumentError("TokenLabels(count)", expected="1 or more", got=str(self.count), do="Give the number of classes.")
        if self.names is not None and len(self.names) != self.count:
            raise ArgumentError(
                "names", expected=f"{self.count} names, one for each class", got=str(len(self.names)), do="Name every class."
            )

    def check(self, argument: str, y: Tensor) -> None:
        check_integers(
            argument, y, self.count, axes=(2, 3), shape="(examples, length), or of a batch (tasks, examples, length)", none=True
        )

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(self.logits(prediction).movedim(-1, 1), y, reduction="none", ignore_index=NONE)
        return loss.sum(1) / (y != NONE).sum(1).clamp(min=1)

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(self.logits(prediction).movedim(-1, 1), y, reduction="sum", ignore_index=NONE)
        return loss / (y != NONE).sum().clamp(min=1)


def check_integers(argument: str, y: Tensor, count: int, axes: tuple[int, ...], shape: str, none: bool = False) -> None:
    """Raise if y is not int64 with one of these numbers of axes and values 0..count-1 (or -100 if `none`)."""
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
