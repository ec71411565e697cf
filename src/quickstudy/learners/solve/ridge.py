"""Ridge regression on a learned embedding: a head fitted to the support in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy import targets
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.learner import Learner, check_ways
from quickstudy.learners.outcome import Values


class Ridge(Learner):
    """Fit a ridge regression to the support's one-hot labels, or targets, in a learned space, and predict with it.

        Z    =  f_phi(x_1), ..., f_phi(x_n)  as rows,     Y  =  one-hot labels, or targets                      (1)
        W, b =  argmin  || Z W + b - Y ||^2 + lambda ||W||^2                                                    (2)
        p(y = k | x)  =  softmax_k( alpha (W' f_phi(x) + b)_k + beta ),    or for targets  y  =  W' f_phi(x) + b  (3)

    The gradient flows through the solution. phi is f, lambda = exp(log_penalty) > 0, and for labels alpha (`scale`) and
    beta (`shift`): regression onto 0 and 1 does not by itself give good logits. beta is the same for every class, so the
    softmax does not see it; a criterion that scores each logit separately does.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features); None: the raw values, flattened.
        penalty: initial lambda, above 0.
        intercept: whether to fit b, which is not penalised; without it b = 0, as in the paper.

    Other Args:
        scale, shift: initial alpha and beta.
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a penalty that is not above 0.

    Source: Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019 (R2-D2).

    Examples:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]])
        >>> learner = qs.Ridge(penalty=1e-6, intercept=True)
        >>> predictor = learner.adapt(qs.Examples(x, 2 * x + 1))
        >>> round(predictor(torch.tensor([[10.0]])).item(), 2)
        21.0
    """

    def __init__(
        self,
        embed: nn.Module | None = None,
        *,
        penalty: float = 1.0,
        intercept: bool = False,
        scale: float = 1.0,
        shift: float = 0.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        if not penalty > 0:
            raise ArgumentError(
                "penalty",
                expected="a number above 0",
                got=str(penalty),
                do="Without it there are many solutions where there are fewer examples than features; 1 is the default.",
            )
        self.embed = nn.Flatten() if embed is None else plain("embed", embed)
        self.intercept = intercept
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))
        self.scale, self.shift = nn.Parameter(torch.tensor(float(scale))), nn.Parameter(torch.tensor(float(shift)))

    def learn(self, support: Examples) -> Values:
        """Weights (features, ways) and bias (ways,) with alpha and beta included; for targets (features, *target), (*target,)."""
        z, y = apply(self.embed, support.x), support.y
        labels = isinstance(support.target, targets.Labels)
        if labels:
            y = F.one_hot(y, check_ways("support.y", support))
        elif not isinstance(support.target, targets.Values):
            raise UnsupportedError(
                "support",
                expected="labels, or values",
                got=repr(support.target),
                do="Take a learner that descends, such as MAML.",
            )
        weights, bias = ridge(z, y.to(z.dtype).reshape(len(y), -1), self.log_penalty.exp(), self.intercept)  # (2)
        if labels:
            weights, bias = self.scale * weights, self.scale * bias + self.shift
        return {"weights": weights.reshape(z.shape[1], *y.shape[1:]), "bias": bias.reshape(y.shape[1:])}

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways), or targets (examples, *target)."""
        return torch.tensordot(apply(self.embed, x), state["weights"], dims=1) + state["bias"]  # (3)


def ridge(z: Tensor, y: Tensor, penalty: Tensor | float, intercept: bool = False) -> tuple[Tensor, Tensor]:
    """argmin_{W, b} || Z W + b - Y ||^2 + lambda ||W||^2, for z (examples, features) and y (examples, outputs).

        W  =  (Z'Z + lambda I)^-1 Z'Y  =  Z' (Z Z' + lambda I)^-1 Y                       (Woodbury)

    The first form inverts features x features, the second examples x examples: the smaller one is used. With an intercept Z and
    Y are centred first, and  b = mean(y) - W' mean(z).

    Returns:
        W (features, outputs) and b (outputs,), 0 without an intercept.
    """
    examples, features = z.shape
    mean_z, mean_y = (z.mean(0), y.mean(0)) if intercept else (z.new_zeros(features), y.new_zeros(y.shape[1]))
    z, y = z - mean_z, y - mean_y
    identity = torch.eye(min(examples, features), dtype=z.dtype, device=z.device)
    if examples < features:
        weights = z.T @ torch.linalg.solve(z @ z.T + penalty * identity, y)
    else:
        weights = torch.linalg.solve(z.T @ z + penalty * identity, z.T @ y)
    return weights, mean_y - mean_z @ weights
