"""Prototypical networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.learners.learner import Learner, Loss, State, check_ways
from quickstudy.network import plain
from quickstudy.rules import Normalisation


class Prototypical(Learner):
    """Classify a query by its nearest class mean in a learned space.

        c_k  = 1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                  (1)
        p(y = k | x)  =  softmax_k( - || f_phi(x) - c_k ||^2 )                       (2)

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        normalisation: "running" by default: averages over meta-training, as most code of this method does.

    Source: Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, eq. 1-2.
    """

    def __init__(self, embed: nn.Module, *, normalisation: Normalisation = "running"):
        super().__init__(normalisation=normalisation)
        self.embed = plain("embed", embed)

    def learn(self, support: Examples) -> State:
        """The prototypes (ways, features)."""
        ways = check_ways("support.y", support)
        return {"prototypes": class_means(self.embed(support.x), support.y, ways)}  # (1)

    def predict(self, state: State, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(self.embed(x), state["prototypes"])  # (2)

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The query loss; support and query are embedded in one batch, as the paper's code does, where the policy allows it."""
        if self.normalisation == "support":
            return super().loss(episode, criterion)
        support, query = episode.support, episode.query
        z = self.embed(pytree.tree_map(lambda a, b: torch.cat([a, b]), support.x, query.x))
        own, asked = z.split([len(support), len(query)])
        prototypes = class_means(own, support.y, check_ways("support.y", support))
        return (criterion or self.criterion)(-squared_distance(asked, prototypes), query.y)


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
