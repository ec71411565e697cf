"""Prototypical networks."""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.learners.compare.comparison import Comparison


class Prototypical(Comparison):
    """Classify a query by its nearest class mean in a learned space.

        c_k  = 1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                  (1)
        p(y = k | x)  =  softmax_k( - || f_phi(x) - c_k ||^2 )                       (2)

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        normalisation: "running" by default: averages over meta-training, as most code of this method does.

    Source: Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, eq. 1-2.
    """

    def read(self, z: Tensor, y: Tensor, ways: int) -> dict[str, Tensor]:
        """The prototypes (ways, features)."""
        return {"prototypes": class_means(z, y, ways)}  # (1)

    def compare(self, values: dict[str, Tensor], z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(z, values["prototypes"])  # (2)


def class_means(z: Tensor, y: Tensor, ways: int) -> Tensor:
    """Mean of z (examples, features) within each class: (ways, features)."""
    member = membership(y, ways, z)
    return member.T @ z / member.sum(0)[:, None]


def membership(y: Tensor, ways: int, like: Tensor) -> Tensor:
    """1 where example i is of class k, else 0, in the dtype of `like`: (examples, ways).

    `F.one_hot` looks at the values of y where a derivative is taken inside vmap, which vmap refuses; a comparison does not.
    """
    return (y[:, None] == torch.arange(ways, device=y.device)).to(like.dtype)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """|| a_i - b_j ||^2 for a (n, features) and b (m, features): (n, m)."""
    return (a * a).sum(1)[:, None] - 2 * a @ b.T + (b * b).sum(1)[None, :]
