"""TokenLabels: one class for each token of an example, as for slots, names and parts of speech."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError
from quickstudy.targets.labels import NONE, Classes, check_integers, check_names
from quickstudy.targets.spans import is_bio


@dataclass(frozen=True)
class TokenLabels(Classes):
    """A class for each token: y int64 (n, length), -100 for a token without one; logits (n, length, count).

    Where the names are BIO tags ("O", "B-date", "I-date"), the score is the F1 of the spans that they mark; otherwise the
    accuracy of the tokens.

    Args:
        count: number of classes.
        names: names of the classes, in which a predictor then answers; None: they are numbers.

    Raises:
        ArgumentError: `count` is below 1; the number of names is not `count`, or one is there twice.

    Examples:
        >>> target, y = qs.targets.TokenLabels(4), torch.tensor([[2, 0, -100]])
        >>> round(float(target.loss(torch.zeros(1, 3, 4), y)), 4)
        1.3863
        >>> target.read(torch.zeros(1, 3, 4)).shape
        torch.Size([1, 3])
        >>> qs.targets.TokenLabels(3, names=("O", "B-date", "I-date")).scores
        ('span_f1', 'token_accuracy')
    """

    names: tuple[str, ...] | None = None

    each_of = "token"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ArgumentError("TokenLabels(count)", expected="1 or more", got=str(self.count), do="Give the number of classes.")
        if self.names is not None:
            object.__setattr__(self, "names", tuple(self.names))
            check_names(self.names, self.count)

    @property
    def scores(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("span_f1", "token_accuracy") if self.has_spans else ("token_accuracy",)

    @property
    def has_spans(self) -> bool:
        """Whether its classes are BIO tags, which mark spans."""
        return self.names is not None and is_bio(self.names)

    def named(self, y: Tensor) -> Tensor | np.ndarray:
        """The tag of each token, and "" for a token without one."""
        return y if self.names is None else np.array([*self.names, ""])[y.where(y != NONE, self.count).cpu().numpy()]

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
