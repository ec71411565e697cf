"""Pairs: what each example belongs to, such as the translation of a sentence, to be found again among all of them.

s_ij    =  cos( prediction_i, y_j )                        i, j: examples of one set
loss_i  =  - log softmax_j( scale * s_ij )_i
rank_i  =  | { j : s_ij >= s_ii } |                        1 is the best; what is as near as the right one is before it
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target

TIE = 1e-6  # cosines that differ by less are equal: rounding does not say which of two like candidates is the right one


@dataclass(frozen=True)
class Pairs(Target):
    """Features that belong to each example: y (n, features), floating-point; an output is a point among them.

    An answer is ranked among the y of all n examples, which are the candidates. To learn is to be near one's own y and far from
    the others (van den Oord, Li & Vinyals, "Representation learning with contrastive predictive coding", 2018, eq. 4).

    Args:
        scale: of the cosines, in the loss alone; above 0.

    Examples:
        >>> target, y = qs.targets.Pairs(), torch.eye(3)
        >>> target.ranks(torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 2.0]]), y).tolist()
        [1, 2, 1]
        >>> round(float(target.loss(y, y)), 4)
        0.0
    """

    scale: float = 20.0

    scores = ("mrr", "recall_at_1")

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ArgumentError("scale", expected="above 0", got=str(self.scale), do="20 is the default.")

    def check(self, argument: str, y: Tensor) -> None:
        if not y.is_floating_point() or y.ndim not in (2, 3):
            raise LabelError(
                argument,
                expected="features, floating-point numbers (examples, features), or of a batch (tasks, examples, features)",
                got=f"y of dtype {y.dtype} and shape {tuple(y.shape)}",
                do="Give the features of what each example belongs to.",
            )

    def fits(self, prediction: Tensor, y: Tensor) -> bool:
        return prediction.shape == y.shape

    def outputs(self, y: Tensor) -> str:
        return f"{tuple(y.shape)}"

    def similarities(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The cosine of each prediction and each y: (n, n)."""
        return F.normalize(prediction, dim=-1) @ F.normalize(y, dim=-1).T

    def ranks(self, prediction: Tensor, y: Tensor) -> Tensor:
        """The place of each example's own y among all, from 1 on: (n,)."""
        s = self.similarities(prediction, y)
        return (s >= s.diagonal()[:, None] - TIE).sum(1)

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        own = torch.arange(len(y), device=y.device)
        return F.cross_entropy(self.scale * self.similarities(prediction, y), own, reduction="none")

    def read(self, prediction: Tensor) -> Tensor:
        return prediction
