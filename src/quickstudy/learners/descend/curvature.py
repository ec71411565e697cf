"""Meta-Curvature: learned matrices that transform the gradient of each layer before the inner step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.forward.call import Parameters


@checked
@dataclass(frozen=True)
class Curvature:
    """A learned preconditioner of the inner gradient: one matrix per axis of each parameter tensor.

        P G  =  G x_1 M_out x_2 M_in x_3 M_f,          G (out, in, f),   (G x_n M)_{..i..} = sum_j M_ij G_{..j..}        (1)
        theta_{t+1}  =  theta_t - a P d/dtheta L(theta_t)                                                                (2)

    f runs over a kernel's height and width together; a matrix (out, in) has M_out and M_in, a vector (a bias) M_out alone. Each
    starts at the identity, so learning starts as MAML. The matrices are part of phi: `Descent(..., curvature=Curvature())`.

    Source: Park & Oliva, "Meta-Curvature", NeurIPS 2019, eq. 6-9 (MC2).

    Examples:
        >>> from quickstudy.learners.descend import Curvature
        >>> learner = qs.Descent(torch.nn.Linear(4, 3), curvature=Curvature())
        >>> [tuple(M.shape) for M in learner.curvature.parameters()]  # M_out and M_in of the weight, M_out of the bias
        [(3, 3), (4, 4), (3, 3)]
    """

    def of(self, theta: Parameters) -> Preconditioner:
        """P for the parameters theta."""
        return Preconditioner(theta)


class Preconditioner(nn.Module):
    """P: maps a gradient, by parameter name, to the direction of a step."""

    def __init__(self, theta: Parameters):
        super().__init__()
        self.names = tuple(theta)
        eye = lambda n, p: nn.Parameter(torch.eye(n, dtype=p.dtype, device=p.device))  # noqa: E731
        self.matrices = nn.ModuleList(nn.ParameterList(eye(n, p) for n in axes(p)) for p in theta.values())

    def forward(self, g: Parameters) -> Parameters:
        """(1)"""
        turned = {}
        for name, matrices in zip(self.names, self.matrices, strict=True):
            G = g[name].reshape(axes(g[name]))
            for axis, M in enumerate(matrices.parameters()):
                G = torch.tensordot(M, G, dims=([1], [axis])).movedim(0, axis)
            turned[name] = G.reshape(g[name].shape)
        return turned


def axes(p: Tensor) -> tuple[int, ...]:
    """(out,), (out, in) or (out, in, f); a single number counts as (1,)."""
    return tuple(p.shape[:2]) + ((math.prod(p.shape[2:]),) if p.ndim > 2 else ()) if p.ndim else (1,)
