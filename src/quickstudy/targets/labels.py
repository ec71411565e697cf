"""Labels: one class for each example. `Classes` is what they share with the labels of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target, entropy

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

    def uncertainty(self, prediction: Tensor) -> Tensor:
        each = entropy(self.probabilities(prediction))
        return each if each.ndim == 1 else each.flatten(1).mean(1)


@dataclass(frozen=True, repr=False)
class Labels(Classes):
    """One of `count` classes: y int64 (n,) of 0..count-1, logits (n, count).

    A network may have more outputs than the task has classes; the others are ignored.

    Args:
        count: number of classes.
        names: names of the classes, in which a predictor then answers; None: they are numbers.

    Raises:
        ArgumentError: `count` is negative; the number of names is not `count`, or one is there twice.

    Examples:
        >>> target, logits = qs.targets.Labels(3), torch.zeros(2, 3)
        >>> round(float(target.loss(logits, torch.tensor([0, 2]))), 4)
        1.0986
        >>> target.read(torch.tensor([[0.0, 2.0, 1.0, 9.0]])).tolist()
        [1]
        >>> qs.targets.Labels(2, names=("cat", "dog")).named(torch.tensor([1, 0]))
        array(['dog', 'cat'], dtype='<U3')
    """

    names: tuple[str, ...] | None = None

    scores = ("accuracy",)
    each_of = "example"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ArgumentError("ways", expected="0 or more", got=str(self.count), do="Give the number of classes.")
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))
            check_names(self.names, self.count)

    def __repr__(self) -> str:
        names = "" if self.names is None else f", names={self.names}"
        return f"Labels(count={self.count}{names})"

    def named(self, y: Tensor) -> Tensor | np.ndarray:
        return y if self.names is None else np.array(self.names)[y.cpu().numpy()]

    def check(self, argument: str, y: Tensor) -> None:
        check_integers(argument, y, self.count, axes=(1, 2), shape="(examples,), or of a batch (tasks, examples)")

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y, reduction="none")

    def mean(self, prediction: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(prediction), y)


def check_names(names: tuple[str, ...], count: int) -> None:
    """Raise ArgumentError where the names are not one for each of `count` classes."""
    if len(names) != count:
        expected = f"{count} names, one for each class"
        raise ArgumentError("names", expected=expected, got=str(len(names)), do="Name every class.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError("names", expected="a name of its own for every class", got=f"{twice!r} twice", do="Tell them apart.")


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
