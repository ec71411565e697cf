"""A truncated Neumann series."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.forward.call import Parameters
from quickstudy.linear_solvers.solver import Product, Solver, dot, refuse, relative


@checked
@dataclass(frozen=True)
class Neumann(Solver):
    """The first `terms` terms of the Neumann series,  u = a sum_{j < terms} (I - a H)^j v.

    Its error falls at the rate ||I - a H||, so a must be below 2 / (largest curvature).

    Args:
        terms: number of terms.
        rate: a; None: the inner step size.

    Source: Lorraine, Vicol & Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020, eq. 8.

    Examples:
        >>> from quickstudy.linear_solvers import Neumann
        >>> H, v = lambda v: {"w": 2 * v["w"]}, {"w": torch.ones(1)}
        >>> [float(Neumann(terms).solve(H, v, rate=torch.tensor(0.25))[0]["w"]) for terms in (1, 2, 3)]  # towards 1 / 2
        [0.25, 0.375, 0.4375]
    """

    terms: PositiveInt = 10
    rate: PositiveFloat | None = None

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        a = rate if self.rate is None else torch.as_tensor(self.rate, dtype=rate.dtype, device=rate.device)
        term, total = v, v
        for _ in range(self.terms - 1):
            Ht = H(term)
            term = {name: term[name] - a * Ht[name] for name in term}
            total = {name: total[name] + term[name] for name in total}
        u = {name: a * total[name] for name in total}
        Hu = H(u)
        left = {name: v[name] - Hu[name] for name in v}  # = (I - a H)^terms v
        residual = relative(dot(left, left), dot(v, v))
        return refuse(
            ~(residual < 1),
            u,
            residual,
            "solver=Neumann(...)",
            expected="a rate at which the series contracts, below 2 / (largest curvature)",
            got="a series whose residual grew to {residual:.2g}",
            do="Lower the inner_lr, or give Neumann(rate=) a smaller one.",
        ), residual
