"""A quadratic program by interior points, for the dual of a multi-class support vector machine; differentiable.

    min_A  1/2 tr(A'QA) - tr(B'A)      subject to      A <= U,      A 1 = 0                 A, B, U (n, k),  Q (n, n) >= 0

The answer is the point of the central path at a fixed small barrier m, where with slacks S and multipliers L, v

    F(A, S, L, v; Q, B, U)  =  ( Q A - B + L + v 1',    A 1,    S - U + A,    L * S - m )  =  0,     S > 0,  L > 0         (1)

It is unique and smooth in Q, B and U, even where Q is singular or a constraint is only just active; its objective exceeds the
minimum by n k m at most. So it has an exact derivative everywhere, by the implicit function theorem:

    dA  =  - [ J^-1 dF ]_A,         J  =  dF / d(A, S, L, v)                                                              (2)

Autograd obtains it from one Newton step at the answer with all but dF held fixed. There is no autograd.Function, so it runs
under vmap and torch.compile.

Source: Mehrotra, "On the Implementation of a Primal-Dual Interior Point Method", SIAM J. Optimization 1992; differentiation:
Amos & Kolter, "OptNet: Differentiable Optimization as a Layer in Neural Networks", ICML 2017, eq. 6.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat
from quickstudy.linear_solvers import refuse

INSIDE = 0.95  # the part of the way to the boundary that a step may go; 0.99 gets stuck there in 3 of 1,500 random problems


def quadratic_program(
    Q: Tensor, B: Tensor, U: Tensor, *, steps: int = 16, barrier: float = 1e-6, tolerance: NonNegativeFloat = 1e-4
) -> tuple[Tensor, Tensor]:
    """A (n, k), and the KKT residual: the largest entry of F, each block relative to its largest term if that is above 1.

    Args:
        Q: (n, n), symmetric, without negative eigenvalues.
        B, U: (n, k); each row of U has a positive sum. Its entries are of the order of 1, as the barrier is absolute.
        steps: number of steps, the same for every problem. 8 to 16 suffice for Q of a norm up to 100.
        barrier: m.
        tolerance: the largest residual accepted.

    The steps are taken in float64 whatever the inputs are, since interior-point systems are ill-conditioned.

    Raises:
        ConvergenceError: a residual above the tolerance. Inside a transform A is NaN instead, which the executor reports.
    """
    dtype = Q.dtype
    Q, B, U = Q.double(), B.double(), U.double()
    A, S, L, v = _follow(Q.detach(), B.detach(), U.detach(), steps, barrier)
    residual = _residual(A, S, L, v, Q.detach(), B.detach(), barrier)
    newton = _Newton(Q.detach(), S, L)
    A = A + newton(Q @ A - B + L + v, L * (U - A) - barrier)[0]  # (2); dF through Q, B and U
    A = refuse(
        ~(residual <= tolerance),
        {"A": A},
        residual,
        "quadratic_program(steps=...)",
        expected=f"a KKT residual of at most {tolerance:g} within {steps} steps",
        got="{residual:.2g}",
        do="Raise `steps`, or lower Q: a smaller `C`, or an embedding of smaller features.",
    )["A"]
    return A.to(dtype), residual.to(dtype)


def _follow(Q: Tensor, B: Tensor, U: Tensor, steps: int, barrier: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(A, S, L, v) near (1), by Mehrotra's predictor and corrector from a strictly feasible A."""
    A = U - U.mean(1, keepdim=True)
    S, L, v = U - A, torch.ones_like(A), torch.zeros_like(A[:, :1])
    for _ in range(steps):
        newton = _Newton(Q, S, L)
        r, c = Q @ A - B + L + v, L * S  # A 1 = 0 and S = U - A hold from the beginning
        dA, dL, _ = newton(r, c - barrier)
        a = _longest(dA, dL, S, L)
        m = c.mean()
        ahead = ((L + a * dL) * (S - a * dA)).mean()
        target = (m * (ahead / m) ** 3).clamp(min=barrier)
        dA, dL, dv = newton(r, c - a * a * dL * dA - target)  # dS = -dA; a^2: no correction for what the predictor cannot reach
        a = _longest(dA, dL, S, L)
        A, S, L, v = A + a * dA, S - a * dA, L + a * dL, v + a * dv
    return A, S, L, v


class _Newton:
    """Steps -J^-1 (r, 0, 0, c) at one point, by elimination:

    (Q + diag(L_j / S_j)) dA_j + dv  =  (c / S - r)_j     for each column j,        sum_j dA_j = 0
    """

    def __init__(self, Q: Tensor, S: Tensor, L: Tensor):
        self.S, self.L = S, L
        factors = torch.linalg.cholesky_ex(Q + torch.diag_embed((L / S).T))[0]
        self.P = torch.cholesky_inverse(factors)  # (k, n, n)

    def __call__(self, r: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        R = c / self.S - r
        dv = torch.linalg.solve(self.P.sum(0), self._columns(R).sum(1, keepdim=True))
        dA = self._columns(R - dv)
        return dA, (self.L * dA - c) / self.S, dv

    def _columns(self, R: Tensor) -> Tensor:
        return torch.einsum("kij,jk->ik", self.P, R)


def _longest(dA: Tensor, dL: Tensor, S: Tensor, L: Tensor) -> Tensor:
    """The longest step, 1 at most, that stays inside S > 0 and L > 0."""
    return INSIDE / torch.maximum(dA / S, -dL / L).amax().clamp(min=INSIDE)


def _residual(A: Tensor, S: Tensor, L: Tensor, v: Tensor, Q: Tensor, B: Tensor, barrier: float) -> Tensor:
    stationary = (Q @ A - B + L + v).abs().amax() / torch.maximum((Q @ A).abs().amax(), L.abs().amax()).clamp(min=1.0)
    complementary = (L * S - barrier).abs().amax()
    return torch.stack([stationary, complementary, A.sum(1).abs().amax()]).amax()
