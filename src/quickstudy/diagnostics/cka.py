"""CKA: how similar two representations of the same examples are.

    CKA(X, Y)  =  ||Y'X||_F^2  /  ( ||X'X||_F ||Y'Y||_F ),       columns of X and Y centred                       (1)

It is 1 if one is the other rotated and scaled, and 0 if they share no direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.errors import ShapeError


def cka(X: Tensor, Y: Tensor) -> Tensor:
    """Linear CKA (1) of features (examples, *feature) and (examples, *other), a scalar in [0, 1]; NaN if one is constant.

    Raises:
        ShapeError: the numbers of examples differ, or there are fewer than 2.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, eq. 5 (linear kernel).

    Examples:
        >>> from quickstudy.diagnostics.cka import cka
        >>> X, (Q, _) = torch.randn(50, 3), torch.linalg.qr(torch.randn(3, 3))
        >>> round(float(cka(X, 2 * X @ Q)), 4)
        1.0
    """
    if len(X) != len(Y) or len(X) < 2:
        raise ShapeError(
            "cka(X, Y)",
            expected="features of the same examples, two or more",
            got=f"{tuple(X.shape)} and {tuple(Y.shape)}",
            do="Take both from one batch.",
        )
    X, Y = (part.flatten(1).double() - part.flatten(1).double().mean(0) for part in (X, Y))
    if max(X.shape[1], Y.shape[1]) > len(X):  # the same by Gram matrices (examples, examples): ||Y'X||^2 = <XX', YY'>
        K, L = X @ X.T, Y @ Y.T
        return (K * L).sum() / (torch.linalg.matrix_norm(K) * torch.linalg.matrix_norm(L))
    norm = torch.linalg.matrix_norm
    return norm(Y.T @ X) ** 2 / (norm(X.T @ X) * norm(Y.T @ Y))
