"""Attention over the bytes of a text, a few at a time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.encoders.pooling import ABSENT, mean_and_max
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.learners.read.transformer import Norm
from quickstudy.randomness import seeded


@checked
class ByteTransformer(nn.Module):
    """A transformer over patches of bytes.

        h_0    =  sum_{j < patch} E_j[ ids[patch i + j] ]  +  sinusoids(i)           a token for every `patch` bytes
        h      <- h + heads(norm h);     h <- h + gelu(norm(h) B + b) C + c          depth times; tokens outside are not seen
        z      =  [ mean_i h_i, max_i h_i ] W + w                                    or, for pool=False, h_i W + w for each byte

    Attention is written in plain operators, since fused attention has no second derivative.

    Args:
        features: of the output.
        width, depth, heads: sizes of the transformer.
        patch: bytes of a token.
        pool: False: an output for each byte (the bytes of a patch differ by their own row of W), for labels of tokens.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; a width that the heads do not divide.
        ShapeError: texts whose length no whole number of patches has.

    Source: Vaswani et al., "Attention Is All You Need", 2017; Xue et al., "ByT5", TACL 2022, for bytes as the vocabulary; Xiong
    et al., 2020, for norms before.

    Examples:
        >>> from quickstudy.domains.text.encoders import ByteTransformer
        >>> reads = qs.tasks.Bytes(length=16)
        >>> ByteTransformer(features=8, depth=1)(**reads.apply(reads.read(["good day", "buenos días"]))).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        features: PositiveInt = 64,
        width: PositiveInt = 64,
        depth: PositiveInt = 2,
        heads: PositiveInt = 4,
        patch: PositiveInt = 2,
        pool: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if width % heads:
            raise ArgumentError("width", expected=f"a multiple of heads={heads}", got=str(width), do="64 and 4 are the defaults.")
        self.features, self.width, self.depth, self.heads = features, width, depth, heads
        self.patch, self.pool, self.seed = patch, pool, seed
        with seeded(seed):
            self.embeddings = nn.ModuleList(nn.Embedding(256, width) for _ in range(patch))
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
            self.norm = Norm(width)
            self.head = nn.Linear(2 * width if pool else width, features if pool else features * patch)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, length) -> (examples, features), or (examples, length, features)."""
        n, length = ids.shape
        if length % self.patch:
            raise ShapeError(
                "length", expected=f"a multiple of patch={self.patch}", got=str(length), do="Read texts with such a length."
            )
        parts, here = ids.reshape(n, -1, self.patch), mask.reshape(n, -1, self.patch).any(-1)
        h = torch.stack([table(parts[..., j]) for j, table in enumerate(self.embeddings)]).sum(0)
        h = h + sinusoids(h.shape[1], self.width).to(h)
        for block in self.blocks:
            h = block(h, here)
        h = self.norm(h)
        if self.pool:
            return self.head(mean_and_max(h, here))
        return self.head(h).reshape(n, length, self.features)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_perceptron = Norm(width), Norm(width)
        self.queries, self.keys, self.values, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        """h (examples, tokens, width), each token seeing those where mask (examples, tokens) is true."""
        x = self.norm_attention(h)
        q, k, v = (self._split(layer(x)) for layer in (self.queries, self.keys, self.values))
        scores = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).masked_fill(~mask[:, None, None], ABSENT)
        h = h + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(h.shape))
        return h + self.narrow(F.gelu(self.wide(self.norm_perceptron(h))))

    def _split(self, x: Tensor) -> Tensor:
        """(examples, tokens, width) as (examples, heads, tokens, d)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


def sinusoids(tokens: int, width: int) -> Tensor:
    """The places 0 .. tokens-1 as (tokens, width): sines and cosines of wavelengths from 2 pi to 10,000 times that."""
    place = torch.arange(tokens)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    return torch.stack([place.sin(), place.cos()], -1).flatten(1)[:, :width]
