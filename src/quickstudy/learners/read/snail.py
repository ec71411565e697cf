"""SNAIL: temporal convolutions and causal attention read a sequence of examples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import one_hot
from quickstudy.learners.outcome import Values
from quickstudy.learners.read.parts import check_features, check_max_ways, own_generator
from quickstudy.learners.read.transformer import weight, zeros


class SNAIL(Comparison):
    """Predict the label of the last position of a sequence; the earlier positions are the support.

        s_t          =  [ f_phi(x_t), onehot(y_t) ],   t = 1 .. n,            s_{n+1}  =  [ f_phi(x), 0 ]        (1)
        s            <- [ s, block_l(s) ],             l = 1, 2, ...                                            (2)
        p(y = k | x) =  softmax_{k < ways}( W' s_{n+1} + w )_k                                                  (3)

    Blocks alternate between `Attention` and `Convolution`s of dilation 1, 2, 4, ... up to the length of the sequence: attention,
    convolutions, attention, convolutions, ..., attention. At t each sees positions up to t only. So the support's positions do
    not depend on the query: they are computed once, n x channels, and are the state, of which block l reads the first channels.
    A query is one more position by itself, and sees no other query.

    It is trained on numbered classes (`label_equivariant` is False) and reads the support as a sequence (`order_invariant` is
    False): only tasks numbered and ordered at random teach that neither means anything.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        features: number of features of f(x).
        max_ways: the largest number of classes in a task.
        length: n + 1 for the longest support that the convolutions should span; attention spans any.

    Other Args:
        filters: channels that each convolution adds.
        attention: (keys, values) of each attention block, at least one.
        normalisation: of f, "running" by default.
        generator: draws the initial weights of all but f; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; no attention block.
        LabelError: more classes than max_ways.
        ShapeError: f(x) is not (examples, features).

    Source: Mishra, Rohaninejad, Chen & Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018, section 3 and figure 2;
    appendix A for Omniglot: 128 filters, attention ((64, 32), (256, 128), (512, 256)), which is the default here.

    Examples:
        >>> learner = qs.SNAIL(torch.nn.Flatten(), features=4, length=16, filters=8, attention=((8, 4), (8, 4)))
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5, queries=10).test.sample(1)[0]
        >>> learner.adapt(task.support)(task.query.x).shape
        torch.Size([30, 3])
        >>> learner.order_invariant  # it reads the support as a sequence
        False
    """

    label_equivariant = False
    order_invariant = False

    def __init__(
        self,
        embed: nn.Module,
        features: PositiveInt,
        max_ways: PositiveInt = 5,
        length: PositiveInt = 6,
        *,
        filters: PositiveInt = 128,
        attention: Sequence[Sequence[int]] = ((64, 32), (256, 128), (512, 256)),
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(plain("embed", embed), normalisation=normalisation)
        if not attention or any(len(sizes) != 2 or min(sizes) < 1 for sizes in attention):
            raise ArgumentError(
                "attention", expected="a (keys, values) for each block", got=repr(attention), do="((64, 32), (256, 128)) is two."
            )
        generator = own_generator(self, generator)
        self.features, self.max_ways = features, max_ways
        blocks: list[Block] = []
        channels = features + max_ways
        for place, (keys, values) in enumerate(attention):
            if place:
                # Dilations from 1 on, so that every position in reach is seen; the paper's pseudocode begins at 2.
                for power in range(max(math.ceil(math.log2(length)), 1)):
                    blocks.append(Convolution(channels, filters, 2**power, generator))
                    channels += filters
            blocks.append(Attention(channels, keys, values, generator))
            channels += values
        self.blocks = nn.ModuleList(blocks)
        self.W, self.w = weight(channels, max_ways, generator), zeros(max_ways)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """The support's positions (n, channels); weights (channels, ways) and bias (ways,) of the task's classes."""
        check_max_ways(ways, self.max_ways)
        s = torch.cat([check_features(z, self.features), one_hot(y, self.max_ways, z)], 1)  # (1)
        for block in self.blocks:
            s = torch.cat([s, block(s)], 1)  # (2)
        return {"places": s, "weight": self.W[:, :ways], "bias": self.w[:ways]}

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        s = F.pad(z, (0, self.max_ways))  # (1)
        for block in self.blocks:
            assert isinstance(block, Block)
            s = torch.cat([s, block.last(s, state["places"][:, : s.shape[1]])], 1)  # (2)
        return s @ state["weight"] + state["bias"]  # (3)


class Block(nn.Module, ABC):
    """The interface of a block: causal, and computed for a whole sequence or for one position after it."""

    @abstractmethod
    def forward(self, s: Tensor) -> Tensor:
        """The channels that it adds at every position of s (length, channels)."""

    @abstractmethod
    def last(self, q: Tensor, s: Tensor) -> Tensor:
        """The channels that it adds at position length + 1 of s (length, channels), for each candidate q (queries, channels)."""


class Convolution(Block):
    """A gated causal convolution over two positions, `dilation` apart.

        c_t  =  tanh( s_{t-R} A_f + s_t B_f + b_f )  sigmoid( s_{t-R} A_g + s_t B_g + b_g ),        s_t = 0 for t < 1

    Source: Mishra et al. 2018, section 3.1, "DenseBlock" (the caller concatenates input and output).
    """

    def __init__(self, channels: PositiveInt, filters: PositiveInt, dilation: int, generator: torch.Generator):
        super().__init__()
        self.dilation = dilation
        self.A, self.B = (weight(channels, 2 * filters, generator, scale=0.5**0.5) for _ in range(2))
        self.b = zeros(2 * filters)

    def forward(self, s: Tensor) -> Tensor:
        """(length, channels) -> (length, filters)."""
        return self._gated(F.pad(s, (0, 0, self.dilation, 0))[: len(s)], s)

    def last(self, q: Tensor, s: Tensor) -> Tensor:
        """(queries, channels), after s (length, channels) -> (queries, filters)."""
        return self._gated(F.pad(s, (0, 0, self.dilation, 0))[len(s)], q)  # the position R before the next one

    def _gated(self, before: Tensor, now: Tensor) -> Tensor:
        c, g = (before @ self.A + now @ self.B + self.b).chunk(2, -1)
        return torch.tanh(c) * torch.sigmoid(g)


class Attention(Block):
    """Causal attention of one head.

        a_t  =  sum_{u <= t}  softmax_{u <= t}( (s_t Q + q) (s_u K)' / sqrt keys )  (s_u V + v)

    A bias of the keys would add the same to every score, and is left out. K starts equal to Q, so that each position first
    attends to similar ones; the paper does not give the initialisation.

    Source: Mishra et al. 2018, section 3.1, "AttentionBlock".
    """

    def __init__(self, channels: PositiveInt, keys: int, values: int, generator: torch.Generator):
        super().__init__()
        self.Q = weight(channels, keys, generator)
        self.K = nn.Parameter(self.Q.detach().clone())
        self.V = weight(channels, values, generator)
        self.q, self.v = zeros(keys), zeros(values)

    def forward(self, s: Tensor) -> Tensor:
        """(length, channels) -> (length, values)."""
        query, keys, values = self._read(s)
        later = torch.ones(len(s), len(s), dtype=torch.bool, device=s.device).triu(1)
        scores = (query @ keys.T * query.shape[1] ** -0.5).masked_fill(later, -math.inf)
        return scores.softmax(1) @ values

    def last(self, q: Tensor, s: Tensor) -> Tensor:
        """(queries, channels), after s (length, channels) -> (queries, values)."""
        query, own_key, own_value = self._read(q)
        _, keys, values = self._read(s)
        scores = torch.cat([query @ keys.T, (query * own_key).sum(1, keepdim=True)], 1) * query.shape[1] ** -0.5
        a = scores.softmax(1)
        return a[:, :-1] @ values + a[:, -1:] * own_value  # a query sees itself and the support, no other query

    def _read(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return s @ self.Q + self.q, s @ self.K, s @ self.V + self.v
