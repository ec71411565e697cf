"""Logistic regression by Newton's method, as pure functions of tensors that run under vmap.

Two functions for two models: `newton_logistic` takes a few full steps on a separate regression for each class, as LR-D2 does;
`logistic_regression` finds the optimum of one softmax over all classes, with a search over step sizes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat
from quickstudy.learners.functional import one_hot

STEP_SIZES = 8  # t in 1, 1/2, ..., 1/128: each step takes the best


def logistic_regression(z: Tensor, y: Tensor, ways: int, penalty: PositiveFloat, steps: int) -> Tensor:
    """W* = argmin F(W), (ways, features), for z (examples, features) and labels y (examples,).

        F(W)  =  sum_i CE( W z_i, y_i )  +  lambda/2 ||W||^2,         W <- W - t [d2F/dW2]^-1 dF/dW

    Strictly convex if penalty > 0, so W* is unique; t is searched.

    W* is a combination of the z_i, so with z^T = Q R the problem is solved for V in W = V Q^T; V has at most
    as many columns as there are examples.
    """
    q, r = torch.linalg.qr(z.T)
    u, target = r.T, one_hot(y, ways, z)
    identity = torch.eye(ways * u.shape[1], dtype=z.dtype, device=z.device)
    t = 0.5 ** torch.arange(STEP_SIZES, dtype=z.dtype, device=z.device)
    v = torch.zeros(ways, u.shape[1], dtype=z.dtype, device=z.device)
    for _ in range(steps):
        p = (u @ v.T).softmax(1)
        gradient = (p - target).T @ u + penalty * v
        softmax_hessian = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        hessian = torch.einsum("ikl,ia,ib->kalb", softmax_hessian, u, u).reshape(identity.shape) + penalty * identity
        direction = torch.linalg.solve(hessian, gradient.reshape(-1)).reshape(v.shape)
        candidates = v - t[:, None, None] * direction
        v = candidates[_objective(candidates, u, target, penalty).argmin().reshape(1)][0]
    return v @ q.T


def _objective(v: Tensor, u: Tensor, target: Tensor, penalty: float) -> Tensor:
    """F at each candidate v (candidates, ways, features): (candidates,)."""
    cross_entropy = -(target * (u @ v.transpose(1, 2)).log_softmax(2)).sum((1, 2))
    return cross_entropy + penalty / 2 * (v * v).sum((1, 2))


def newton_logistic(z: Tensor, y: Tensor, penalty: Tensor | float, steps: int) -> Tensor:
    """`steps` Newton steps from w = 0 for each column of y (examples, ways), entries 0 or 1, on z (examples, features).

        eta = Z w,    m = 1 / (1 + exp(-eta)),    S = diag( m (1 - m) )                                           (4)
        w  <-  (Z' S Z + lambda I)^-1 Z' (S eta + y - m)  =  Z' (S Z Z' + lambda I)^-1 (S eta + y - m)            (5)

    The first form inverts features x features, the second (Woodbury) examples x examples: the smaller one is used. Iteratively
    reweighted least squares divides by S, which is 0 where a probability is 1; (5) gives the same without that division.

    Returns:
        W (features, ways).
    """
    examples, features = z.shape
    dual = examples < features
    gram = z @ z.T if dual else z.T
    ridge = penalty * torch.eye(min(examples, features), dtype=z.dtype, device=z.device)
    eta, w = torch.zeros_like(y), z.new_zeros(features, y.shape[1])
    for _ in range(steps):
        m = eta.sigmoid()  # (4)
        s = m * (1 - m)
        right = s * eta + y - m
        if dual:
            w = z.T @ _solve(s.T[:, :, None] * gram + ridge, right)  # (5), one system for each class
        else:
            w = _solve((gram * s.T[:, None, :]) @ z + ridge, z.T @ right)
        eta = z @ w
    return w


def _solve(systems: Tensor, right: Tensor) -> Tensor:
    """Column k of the answer solves system k (ways, n, n) for column k of `right` (n, ways)."""
    return torch.linalg.solve(systems, right.T[:, :, None])[:, :, 0].T
