"""A direct solve with the dense Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from quickstudy.arguments import checked
from quickstudy.forward.call import Parameters
from quickstudy.linear_solvers.solver import Product, Solver, relative, unreadable


@checked
@dataclass(frozen=True)
class Exact(Solver):
    """A direct solve with the dense Hessian, built column by column: for networks of a few hundred parameters, and for tests.

    Examples:
        >>> from quickstudy.linear_solvers import Exact
        >>> A = torch.diag(torch.tensor([1.0, 2.0, 4.0]))
        >>> u, residual = Exact().solve(lambda v: {"w": A @ v["w"]}, {"w": torch.ones(3)}, rate=torch.tensor(0.1))
        >>> u["w"]
        tensor([1.0000, 0.5000, 0.2500])
    """

    def solve(self, H: Product, v: Parameters, rate: Tensor) -> tuple[Parameters, Tensor]:
        b = _flatten(v)
        column = lambda e: _flatten(H(_unflatten(e, v)))  # noqa: E731
        units = torch.eye(len(b), dtype=b.dtype, device=b.device)
        columns = vmap(column)(units) if unreadable(b) else torch.stack([column(e) for e in units])
        x = torch.linalg.solve(columns.T, b)
        left = b - columns.T @ x
        return _unflatten(x, v), relative(left @ left, b @ b)


def _flatten(parts: Parameters) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts.values()])


def _unflatten(flat: Tensor, like: Parameters) -> Parameters:
    pieces = flat.split([part.numel() for part in like.values()])
    return {name: piece.reshape(part.shape) for (name, part), piece in zip(like.items(), pieces, strict=True)}
