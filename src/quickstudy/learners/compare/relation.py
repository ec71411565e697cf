"""Relation networks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import one_hot
from quickstudy.learners.learner import Loss
from quickstudy.learners.outcome import Values
from quickstudy.models.conv4 import Conv4
from quickstudy.models.relation_head import RelationHead


class RelationNetwork(Comparison):
    """Classify a query by a learned comparison: a second network scores it beside the sum of each class.

        m_k    =  sum_{(x, y) in S_k} f_phi(x)                                       (1)
        r_k    =  sigmoid( u_k ),      u_k  =  g_phi( [m_k, f_phi(x)] )              (2)
        loss   =  mean over queries and classes of ( r_k - 1[y = k] )^2              (3)

    [ , ] concatenates two feature maps along the channels. The paper's loss (3) is the learner's own criterion (the paper sums,
    which amounts to another outer learning rate).

    Logits are u, not r. The paper's scores are independent yes-or-no answers, one for each class; given that exactly one class
    is right, p(y = k) is proportional to  r_k prod_{j != k} (1 - r_j), thus to  r_k / (1 - r_k) = exp(u_k):  `predict_proba` is
    that softmax, and `scores` gives r.

    Args:
        embed: f, (examples, *feature) -> (examples, channels, height, width), such as `conv4(pooled=2, maps=True)`;
            or (examples, features), for a `relation` that takes vectors.
        relation: g, (pairs, 2 * channels, height, width) -> (pairs, 1); None: `RelationHead` for the maps of such a conv4.

    Other Args:
        normalisation: "running" by default. "support" takes g's statistics from the support's own pairs.

    Raises:
        ArgumentError: no `relation`, for an `embed` that is not a Conv4 with maps.
        ShapeError: a `relation` that gives more than one score per pair.

    Source: Sung, Yang, Zhang, Xiang, Torr & Hospedales, "Learning to Compare: Relation Network for Few-Shot Learning",
    CVPR 2018, eq. 1-2 and section 3.2.

    Examples:
        >>> from quickstudy.learners.compare.relation import scores
        >>> learner = qs.RelationNetwork(qs.models.mlp(4, 8), relation=qs.models.mlp(2 * 8, 1))
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> r = scores(learner(task.support, task.query.x))
        >>> r.shape, bool(((r > 0) & (r < 1)).all())
        (torch.Size([30, 3]), True)
    """

    def __init__(self, embed: nn.Module, relation: nn.Module | None = None, *, normalisation: Normalisation = "running"):
        super().__init__(embed, normalisation=normalisation)
        self.relation = _head(embed) if relation is None else plain("relation", relation)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """The sum of each class (ways, *features)."""
        state = {"sums": torch.tensordot(one_hot(y, ways, z), z, dims=([0], [0]))}  # (1)
        if self.normalisation == "support":
            self.compare(state, z)  # g's norms take their statistics here
        return state

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits u (examples, ways)."""
        m, n = state["sums"], z.shape[0]
        ways = len(m)
        pairs = torch.cat([m.expand(n, *m.shape), z[:, None].expand(n, ways, *z.shape[1:])], 2)
        u = self.relation(pairs.flatten(0, 1))  # (2)
        if u.numel() != n * ways:
            raise ShapeError(
                "relation", expected="one score a pair, (pairs, 1)", got=str(tuple(u.shape)), do="Give it one output."
            )
        return u.reshape(n, ways)

    @property
    def criterion(self) -> Loss:
        return relation_loss


def scores(logits: Tensor) -> Tensor:
    """The paper's relation scores r in (0, 1), from the logits that a `RelationNetwork` gives."""
    return torch.sigmoid(logits)


def relation_loss(logits: Tensor, y: Tensor) -> Tensor:
    """Mean squared error between relation scores and one-hot labels, for logits (examples, ways) and y (examples,).

    Of shares of classes y (examples, ways) it is the mean of these errors by the shares.
    """
    r = scores(logits)
    if y.is_floating_point():
        return (y * (1 - r) ** 2 + (1 - y) * r**2).mean()
    return F.mse_loss(r, one_hot(y, logits.shape[1], logits))  # (3)


def _head(embed: nn.Module) -> RelationHead:
    size = embed.size // 2**embed.pooled if isinstance(embed, Conv4) and embed.maps and embed.head is None else 0
    if not isinstance(embed, Conv4) or size < 4:
        raise ArgumentError(
            "relation",
            expected="a network (pairs, 2 * channels, *map) -> (pairs, 1), as `embed` is no Conv4 with maps of 4 x 4 or more",
            got="none",
            do="Embed by conv4(pooled=2, maps=True), or give `relation`, for vectors for example mlp(2 * features, 1).",
        )
    return RelationHead(embed.channels, size)
