"""Solvers of H u = v for implicit gradients: conjugate gradient, a Neumann series, and the dense inverse.

H is the Hessian of the inner objective at rest, known by its products. A solver takes a fixed number of steps (nothing in it
depends on data, so it runs under vmap and compile) and returns u with its relative residual ||v - H u|| / ||v||.

A failure cannot raise from inside a transform. There u is filled with NaN; the executor sees it, runs the task again in the
plain loop, and here, on plain tensors, the error is raised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from quickstudy.errors import ArgumentError, ConvergenceError
from quickstudy.network import Parameters

Product = Callable[[Parameters], Parameters]


class Solver(ABC):
    """The interface of a solver."""

    @abstractmethod
    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        """u with H u = v, and its relative residual. `rate` is the inner step size, for solvers that need one.

        Raises:
            ConvergenceError: a tolerance missed, a negative curvature, a series that diverges.
        """


@dataclass(frozen=True)
class ConjugateGradient(Solver):
    """`steps` steps of conjugate gradient.

        alpha = r'r / p'Hp,   u += alpha p,   r -= alpha H p,   p = r + (r'r / r'r_before) p           H + damping I for H

    Args:
        steps: how many; exact after as many as there are parameters, often good after 5.
        tolerance: the relative residual that must be reached; None: whatever is reached is taken and recorded.
        damping: added to every curvature. Above 0 the answer is that of another, stiffer inner objective.
        at_negative: what to do in a direction of negative curvature, where there is no solution: "raise"; or "stop", and take
            what was reached before it, or, if it is the first direction, a step v'v / |v'Hv| along v. The residual tells. Deep
            networks, whose inner loop rests at no minimum, need it.

    Raises:
        ArgumentError: another at_negative.

    Source: Hestenes & Stiefel 1952; for meta-gradients Rajeswaran et al., "Meta-Learning with Implicit Gradients", NeurIPS 2019.
    """

    steps: int = 5
    tolerance: float | None = None
    damping: float = 0.0
    at_negative: str = "raise"

    def __post_init__(self) -> None:
        if self.at_negative not in ("raise", "stop"):
            raise ArgumentError("at_negative", expected="'raise' or 'stop'", got=repr(self.at_negative), do="Take one of them.")

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        u = {name: torch.zeros_like(b) for name, b in v.items()}
        r, p = v, v
        rr = vv = dot(v, v)
        negative = torch.zeros_like(vv, dtype=torch.bool)
        still = torch.finfo(vv.dtype).eps ** 2 * vv  # below it the residual is rounding: stand still
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
        residual = _relative(dot(r, r), vv)
        u = refuse(
            negative & (self.at_negative == "raise"),
            u,
            residual,
            "solver=ConjugateGradient(...)",
            expected="an inner objective of positive curvature at rest",
            got="a direction of negative curvature",
            do="Take more inner steps, a larger `strength`, which adds to every curvature, or "
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
            do="Raise `steps`, raise `strength`, or leave `tolerance` out to take what is reached.",
        ), residual


@dataclass(frozen=True)
class Neumann(Solver):
    """The first `terms` terms of the Neumann series,  u = a sum_{j < terms} (I - a H)^j v.

    Its error falls at the rate ||I - a H||, so a must be below 2 / (largest curvature).

    Args:
        terms: how many.
        rate: a; None: the inner step size.

    Source: Lorraine, Vicol & Duvenaud, "Optimizing Millions of Hyperparameters by Implicit Differentiation", AISTATS 2020, eq. 8.
    """

    terms: int = 10
    rate: float | None = None

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
        residual = _relative(dot(left, left), dot(v, v))
        return refuse(
            ~(residual < 1),
            u,
            residual,
            "solver=Neumann(...)",
            expected="a rate at which the series contracts, below 2 / (largest curvature)",
            got="a series whose residual grew to {residual:.2g}",
            do="Lower the inner_lr, or give Neumann(rate=) a smaller one.",
        ), residual


@dataclass(frozen=True)
class Exact(Solver):
    """The dense Hessian, built column by column, and its solve: for networks of a few hundred parameters, and for tests."""

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        b = _flatten(v)
        columns = vmap(lambda e: _flatten(H(_unflatten(e, v))))(torch.eye(len(b), dtype=b.dtype, device=b.device))
        x = torch.linalg.solve(columns.T, b)
        left = b - columns.T @ x
        return _unflatten(x, v), _relative(left @ left, b @ b)


def dot(a: Parameters, b: Parameters) -> Tensor:
    """The inner product of two sets of parameters, a scalar."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def _relative(rr: Tensor, vv: Tensor) -> Tensor:
    positive = vv > 0
    return torch.where(positive, rr / torch.where(positive, vv, torch.ones_like(vv)), torch.zeros_like(rr)).sqrt()


def refuse(failed: Tensor, u: Parameters, residual: Tensor, argument: str, *, expected: str, got: str, do: str) -> Parameters:
    """Raise where `failed`; inside a transform, where nothing can be read, fill u with NaN instead."""
    if not transformed(failed):
        if bool(failed):
            value = float(residual)
            raise ConvergenceError(argument, expected=expected, got=got.format(residual=value), do=do, residual=value)
        return u
    return {name: torch.where(failed, torch.full_like(part, torch.nan), part) for name, part in u.items()}


def transformed(tensor: Tensor) -> bool:
    """Whether `tensor` is inside vmap, grad or compile, where its value cannot be read."""
    return torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _flatten(parts: Parameters) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts.values()])


def _unflatten(flat: Tensor, like: Parameters) -> Parameters:
    pieces = flat.split([part.numel() for part in like.values()])
    return {name: piece.reshape(part.shape) for (name, part), piece in zip(like.items(), pieces, strict=True)}
