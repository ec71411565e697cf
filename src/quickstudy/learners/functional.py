"""Small functions of embeddings and labels that several learners share. All of them run under vmap."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def one_hot(index: Tensor, size: int, like: Tensor) -> Tensor:
    """One-hot rows (..., size) of `index` (...), in the dtype of `like`.

    `F.one_hot` reads values when a derivative is taken inside vmap, which vmap refuses; a comparison does not.
    """
    return (index[..., None] == torch.arange(size, device=index.device)).to(like.dtype)


def class_means(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Mean of z (examples, features) within each class: (ways, features). NaN for a class that no example is of."""
    member = one_hot(y, ways, z)
    return member.T @ z / member.sum(0)[:, None]


def present_means(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """The same for tokens, z (examples, length, features) and y (examples, length): those without a class (-100) are in none,
    and a class that no token is of, as a tag that the support lacks, has the mean 0.
    """
    member = one_hot(y.flatten(), ways, z)
    return member.T @ z.flatten(0, -2) / member.sum(0).clamp(min=1)[:, None]


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """|| a_i - b_j ||^2 for a (n, features) and b (m, features): (n, m)."""
    return (a * a).sum(1)[:, None] - 2 * a @ b.T + (b * b).sum(1)[None, :]


def unit(z: Tensor) -> Tensor:
    """z / ||z|| along the last axis, with a derivative that is finite at z = 0."""
    return z * ((z * z).sum(-1, keepdim=True) + 1e-12).rsqrt()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """cos(a_i, b_j) for a (n, features) and b (m, features): (n, m)."""
    return unit(a) @ unit(b).T


def log_and_sign(v: Tensor, p: float) -> Tensor:
    """Two features of a gradient v, (*v, 2), by which numbers of any magnitude can be read.

        ( ln|v| / p,  sign(v) )   where |v| >= e^-p,          ( -1,  e^p v )   elsewhere

    Its derivative is finite everywhere, at v = 0 too.

    Source: Andrychowicz et al., "Learning to Learn by Gradient Descent by Gradient Descent", NeurIPS 2016, appendix A.
    """
    large = v.abs() >= math.exp(-p)
    log = torch.where(large, v.abs(), torch.ones_like(v)).log() / p
    return torch.stack([torch.where(large, log, -torch.ones_like(v)), torch.where(large, v.sign(), math.exp(p) * v)], -1)
