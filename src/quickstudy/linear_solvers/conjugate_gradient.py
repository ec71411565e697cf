"""Conjugate gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, PositiveInt, checked
from quickstudy.forward.call import Parameters
from quickstudy.linear_solvers.solver import Product, Solver, dot, refuse, relative


@checked
@dataclass(frozen=True)
class ConjugateGradient(Solver):
    """`steps` steps of conjugate gradient.

        alpha = r'r / p'Hp,   u += alpha p,   r -= alpha H p,   p = r + (r'r / r'r_before) p           H + damping I for H

    Args:
        steps: number of steps; exact after as many as there are parameters, often good after 5.
        tolerance: the relative residual to reach, or raise; None: any residual is accepted and logged.
        damping: added to every curvature; above 0 the solution is that of a stiffer inner objective.
        at_negative: what to do in a direction of negative curvature, where there is no solution: "raise"; or "stop", and keep
            the u reached before it, or, if it is the first direction, a step v'v / |v'Hv| along v. The residual shows it. Deep
            networks need "stop", since their inner loop does not end at a minimum.

    Raises:
        ArgumentError: `at_negative` is neither "raise" nor "stop".

    Source: Hestenes & Stiefel 1952; for meta-gradients Rajeswaran et al., "Meta-Learning with Implicit Gradients", NeurIPS 2019.

    Examples:
        >>> from quickstudy.linear_solvers import ConjugateGradient
        >>> A, b = torch.diag(torch.tensor([1.0, 2.0, 4.0])), torch.ones(3)
        >>> u, residual = ConjugateGradient(steps=3).solve(lambda v: {"w": A @ v["w"]}, {"w": b}, rate=torch.tensor(0.1))
        >>> bool(torch.allclose(A @ u["w"], b, atol=1e-4))
        True
        >>> learner = qs.IMAML(torch.nn.Linear(4, 3), solver=ConjugateGradient(steps=10, tolerance=0.01))
    """

    steps: PositiveInt = 5
    tolerance: NonNegativeFloat | None = None
    damping: NonNegativeFloat = 0.0
    at_negative: Literal["raise", "stop"] = "raise"

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        u = {name: torch.zeros_like(b) for name, b in v.items()}
        r, p = v, v
        rr = vv = dot(v, v)
        negative = torch.zeros_like(vv, dtype=torch.bool)
        still = torch.finfo(vv.dtype).eps ** 2 * vv  # below it the residual is rounding: stop
        for step in range(self.steps):
            Hp = {name: part + self.damping * p[name] for name, part in H(p).items()}
            pHp = dot(p, Hp)
            bad = (rr > still) & (pHp <= 0)
            moving = (rr > still) & ~bad & ~negative
            steps_on = moving | bad if step == 0 else moving
            alpha = torch.where(steps_on, rr / torch.where(steps_on, pHp.abs(), torch.ones_like(pHp)), torch.zeros_like(rr))
            negative = negative | bad
            u = {name: u[name] + alpha * p[name] for name in u}
            r = {name: r[name] - alpha * Hp[name] for name in u}
            after = dot(r, r)
            beta = torch.where(moving, after / torch.where(moving, rr, torch.ones_like(rr)), torch.zeros_like(rr))
            p = {name: r[name] + beta * p[name] for name in u}
            rr = torch.where(moving, after, rr)
        residual = relative(dot(r, r), vv)
        u = refuse(
            negative & (self.at_negative == "raise"),
            u,
            residual,
            "solver=ConjugateGradient(...)",
            expected="an inner objective of positive curvature at rest",
            got="a direction of negative curvature",
            do="Take more inner steps, a larger `proximal_weight`, which adds to every curvature, or "
            "ConjugateGradient(at_negative='stop').",
        )
        if self.tolerance is None:
            return u, residual
        return refuse(
            residual > self.tolerance,
            u,
            residual,
            "solver=ConjugateGradient(tolerance=...)",
            expected=f"a relative residual of at most {self.tolerance:g} within {self.steps} steps",
            got="{residual:.2g}",
            do="Raise `steps`, raise `proximal_weight`, or leave `tolerance` out to take what is reached.",
        ), residual
