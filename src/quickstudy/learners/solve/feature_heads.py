"""Ridge and logistic regression on the features of a network that was trained for another head.

    m  =  the mean of the support's features,     r^2  =  the mean of || f(x) - m ||^2 over the support             (1)
    z  =  (f(x) - m) / r                                                                                            (2)

In these units a penalty means the same whatever the network. The mean and the length are folded into the weights, so that a
prediction is one product of f(x) and W. How each head is scored without one of its examples: `left_out`. The default penalties
and scales were meta-learned on drawn characters with 1 to 5 examples of a class (benchmarks/studies/pretrained_strokes).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import one_hot
from quickstudy.learners.outcome import Values
from quickstudy.learners.solve.newton import newton_logistic
from quickstudy.learners.solve.ridge import ridge

STEPS = 8  # Newton steps of logistic regression


class LinearHead(Comparison):
    """What both have in common: weights and a bias for f(x), and nothing that is meta-learned."""

    meta_learns = False

    def compare(self, values: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return z @ values["weights"] + values["bias"]

    @abstractmethod
    def left_out(self, z: Tensor, y: Tensor, ways: int) -> Tensor:
        """Logits of each example by the head on all others, (examples, ways)."""


@checked
class RidgeHead(LinearHead):
    """Ridge regression onto one-hot labels, on standardised features: see the module.

        W, b  =  argmin  || Z W + b - Y ||^2  +  lambda || W ||^2,          logits  =  s (W' z + b)                     (3)

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        penalty: lambda.
        scale: s.
        normalisation: "running" by default, as for the learners that compare.

    Examples:
        >>> from quickstudy.learners.solve import RidgeHead
        >>> RidgeHead(torch.nn.Identity()).adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(torch.eye(3))
        tensor([0, 1, 2])
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        penalty: PositiveFloat = 0.5,
        scale: PositiveFloat = 15.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        self.penalty, self.scale = penalty, scale

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """Weights (features, ways) and bias (ways,), with (1), (2) and s folded in."""
        mean, length = standard(z)
        weights, bias = ridge((z - mean) / length, one_hot(y, ways, z), self.penalty, intercept=True)  # (3)
        return folded(self.scale * weights, self.scale * bias, mean, length)

    def left_out(self, z: Tensor, y: Tensor, ways: int) -> Tensor:
        """Logits of each example by the regression without it, (examples, ways), in closed form:

            y_i - (y_i - H y_i) / (1 - H_ii),         H  =  1/n  +  Z (Z'Z + lambda I)^-1 Z'         for centred Z

        The mean and the length of the features are those of all examples.
        """
        mean, length = standard(z)
        z, target = (z - mean) / length, one_hot(y, ways, z)
        hat = 1 / len(z) + smoother(z, self.penalty)
        rest = (target - hat @ target) / (1 - hat.diagonal())[:, None]
        return self.scale * (target - rest)


@checked
class LogisticHead(LinearHead):
    """Logistic regression, each class against the rest, on standardised features: see the module.

        w_k  =  argmin  - sum_i log p(y_ik | w_k' z_i)  +  lambda/2 || w_k ||^2,          logits  =  s W' z              (4)

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        penalty: lambda.
        scale: s.
        newton_steps: Newton steps from w = 0 on.
        normalisation: "running" by default, as for the learners that compare.

    Examples:
        >>> from quickstudy.learners.solve import LogisticHead
        >>> LogisticHead(torch.nn.Identity()).adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(torch.eye(3))
        tensor([0, 1, 2])
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        penalty: PositiveFloat = 0.15,
        scale: PositiveFloat = 4.0,
        newton_steps: PositiveInt = STEPS,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        self.penalty, self.scale, self.newton_steps = penalty, scale, newton_steps

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """Weights (features, ways) and bias (ways,), with (1), (2) and s folded in."""
        mean, length = standard(z)
        weights = self._weights((z - mean) / length, one_hot(y, ways, z))
        return folded(self.scale * weights, weights.new_zeros(ways), mean, length)

    def left_out(self, z: Tensor, y: Tensor, ways: int) -> Tensor:
        """Logits of each example by the regression without it, (examples, ways), by one Newton step from the optimum of all:

            eta_i  -  h_i (y_i - m_i) / (1 - s_i h_i),     h  =  diag( Z (Z'SZ + lambda I)^-1 Z' ),  S = diag(s),  s = m (1 - m)

        The mean and the length of the features are those of all examples.
        """
        mean, length = standard(z)
        z, target = (z - mean) / length, one_hot(y, ways, z)
        eta = z @ self._weights(z, target)
        m = eta.sigmoid()
        s = m * (1 - m)
        leverage = torch.stack([smoother(z, self.penalty, one).diagonal() for one in s.T], 1)
        return self.scale * (eta - leverage * (target - m) / (1 - s * leverage))

    def _weights(self, z: Tensor, target: Tensor) -> Tensor:
        return newton_logistic(z, target, self.penalty, self.newton_steps)  # (4)


def standard(z: Tensor) -> tuple[Tensor, Tensor]:
    """m (features,) and r of features z (examples, features); r = 1 where all are equal."""
    mean = z.mean(0)
    length = (z - mean).square().sum(1).mean().sqrt()
    return mean, torch.where(length > 0, length, torch.ones_like(length))


def folded(weights: Tensor, bias: Tensor, mean: Tensor, length: Tensor) -> Values:
    """W and b that give on f(x) what `weights` and `bias` give on (f(x) - m) / r."""
    weights = weights / length
    return {"weights": weights, "bias": bias - mean @ weights}


def smoother(z: Tensor, penalty: float, weight: Tensor | None = None) -> Tensor:
    """Z (Z' S Z + lambda I)^-1 Z', (examples, examples), for S = diag(weight) or 1, by the smaller of the two inverses."""
    weighted = z if weight is None else weight[:, None] * z
    identity = torch.eye(min(z.shape), dtype=z.dtype, device=z.device)
    if len(z) < z.shape[1]:
        gram = z @ z.T  # K (S K + lambda I)^-1, solved from the right
        return torch.linalg.solve(weighted @ z.T + penalty * identity, gram, left=False)
    return z @ torch.linalg.solve(z.T @ weighted + penalty * identity, z.T)
