"""The interface of a solver of  H u = v,  and what its implementations share.

H is the Hessian of an inner objective at its minimum, given by its products. A solver takes a fixed number of steps (nothing in
it depends on data, so it runs under vmap and compile) and returns u with its relative residual ||v - H u|| / ||v||.

A failure cannot raise from inside a transform. There u is filled with NaN; the executor sees that and runs the task again in the
plain loop, where the error is raised.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from quickstudy.errors import ConvergenceError
from quickstudy.forward._torch import unreadable
from quickstudy.forward.call import Parameters

Product = Callable[[Parameters], Parameters]


class Solver(ABC):
    """The interface of a solver."""

    @abstractmethod
    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        """u with H u = v, and its relative residual. `rate` is the inner step size, for solvers that need one.

        Raises:
            ConvergenceError: a tolerance missed, a negative curvature, a series that diverges.
        """


def dot(a: Parameters, b: Parameters) -> Tensor:
    """The inner product of two sets of parameters, a scalar."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def relative(rr: Tensor, vv: Tensor) -> Tensor:
    """||r|| / ||v|| from their squares; 0 if v is 0."""
    positive = vv > 0
    return torch.where(positive, rr / torch.where(positive, vv, torch.ones_like(vv)), torch.zeros_like(rr)).sqrt()


def refuse(failed: Tensor, u: Parameters, residual: Tensor, argument: str, *, expected: str, got: str, do: str) -> Parameters:
    """Raise if `failed`; inside a transform, where nothing can be read, fill u with NaN instead."""
    if not unreadable(failed):
        if bool(failed):
            value = float(residual)
            raise ConvergenceError(argument, expected=expected, got=got.format(residual=value), do=do, residual=value)
        return u
    return {name: torch.where(failed, torch.full_like(part, torch.nan), part) for name, part in u.items()}
