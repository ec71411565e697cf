"""The identity instead of the inverse Hessian: the cheapest implicit gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, checked
from quickstudy.forward.call import Parameters
from quickstudy.linear_solvers.solver import Product, Solver, dot, relative


@checked
@dataclass(frozen=True)
class Identity(Solver):
    """u = a v  for  H u = v: one term of the Neumann series; only the residual takes a product with H.

    At the minimum this is the derivative through the last inner step alone, as in T1-T2. It is biased by (H^{-1} - a I) v.

    Args:
        rate: a; None: the inner step size.

    Source: Luketina et al., "Scalable Gradient-Based Tuning of Continuous Regularization Hyperparameters", ICML 2016, eq. 4-5.

    Examples:
        >>> from quickstudy.linear_solvers import Identity
        >>> u, residual = Identity().solve(lambda v: {"w": 2 * v["w"]}, {"w": torch.ones(3)}, rate=torch.tensor(0.25))
        >>> u["w"], float(residual)  # v - H u = (1 - 2 / 4) v
        (tensor([0.2500, 0.2500, 0.2500]), 0.5)
    """

    rate: PositiveFloat | None = None

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        a = rate if self.rate is None else torch.as_tensor(self.rate, dtype=rate.dtype, device=rate.device)
        u = {name: a * one for name, one in v.items()}
        Hu = H(u)  # for the residual alone
        left = {name: v[name] - Hu[name] for name in v}
        return u, relative(dot(left, left), dot(v, v))
