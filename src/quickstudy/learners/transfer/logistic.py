"""Logistic regression to its optimum, by Newton's method: a pure function of tensors that runs under vmap.

    F(W)  =  sum_i CE( W z_i, y_i )  +  strength/2 ||W||^2,         W <- W - t [d2F/dW2]^-1 dF/dW

Strictly convex where strength > 0, so there is one W*; t is searched, so that no step goes up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEP_SIZES = 8  # t in 1, 1/2, ..., 1/128: the best of them is taken


def logistic_regression(z: Tensor, y: Tensor, ways: int, strength: float, steps: int) -> Tensor:
    """W* = argmin F(W), (ways, features), for z (examples, features) and labels y (examples,).

    W* is a combination of the z_i, so with z^T = Q R the problem is solved for V in W = V Q^T, whose size does not grow with
    the number of features beyond that of examples.
    """
    q, r = torch.linalg.qr(z.T)
    u, target = r.T, F.one_hot(y, ways).to(z.dtype)
    identity = torch.eye(ways * u.shape[1], dtype=z.dtype, device=z.device)
    t = 0.5 ** torch.arange(STEP_SIZES, dtype=z.dtype, device=z.device)
    v = torch.zeros(ways, u.shape[1], dtype=z.dtype, device=z.device)
    for _ in range(steps):
        p = (u @ v.T).softmax(1)
        gradient = (p - target).T @ u + strength * v
        softmax_hessian = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian = torch.einsum("ikl,ia,ib->kalb", softmax_hessian, u, u).reshape(identity.shape) + strength * identity
        direction = torch.linalg.solve(hessian, gradient.reshape(-1)).reshape(v.shape)
        candidates = v - t[:, None, None] * direction
        v = candidates[_objective(candidates, u, target, strength).argmin().reshape(1)][0]
    return v @ q.T


def _objective(v: Tensor, u: Tensor, target: Tensor, strength: float) -> Tensor:
    """F at each candidate v (candidates, ways, features): (candidates,)."""
    cross_entropy = -(target * (u @ v.transpose(1, 2)).log_softmax(2)).sum((1, 2))
    return cross_entropy + strength / 2 * (v * v).sum((1, 2))
