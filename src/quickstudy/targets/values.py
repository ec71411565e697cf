"""Values: numbers, predicted directly or by a normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from quickstudy.errors import ArgumentError, LabelError
from quickstudy.targets.target import Target

LOG_2PI = 1.8378770664093453


@dataclass(frozen=True)
class Values(Target):
    """Numbers: y (n, *target), floating-point.

    Args:
        distribution: None: the output is the value. "normal": the output (n, *target, 2) is the mean and the logarithm of the
            variance of a normal distribution.

    Examples:
        >>> y = torch.tensor([[0.0], [2.0]])
        >>> float(qs.targets.Values().loss(torch.zeros(2, 1), y))
        2.0
        >>> round(float(qs.targets.Values("normal").loss(torch.zeros(2, 1, 2), y)), 4)
        1.9189
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

    def uncertainty(self, prediction: Tensor) -> Tensor:
        if self.distribution is None:
            return super().uncertainty(prediction)
        return (0.5 * (1 + LOG_2PI + prediction[..., 1])).reshape(len(prediction), -1).sum(1)

    def _loss(self, prediction: Tensor, y: Tensor) -> Tensor:
        if self.distribution is None:
            return (prediction - y) ** 2
        mean, log_variance = prediction.unbind(-1)
        return 0.5 * (log_variance + (y - mean) ** 2 * (-log_variance).exp() + LOG_2PI)
