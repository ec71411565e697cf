"""The transformer that in-context learners read with: blocks whose tokens attend to the support's tokens and to nothing else."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError


@checked
class Transformer(nn.ModuleList):
    """The blocks of `InContext` and of `InContextRegressor`; several learners may hold the same one.

        S_0  =  the support's tokens,    q_0  =  a query's token
        S_l+1 =  block_l(S_l, S_l),      q_l+1  =  block_l(q_l, S_l),       l = 0 .. depth-1

    Args:
        width: features of a token.
        depth: blocks.
        heads: of attention; each has width / heads features.
        generator: draws the initial weights; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; a width that the heads do not divide.

    Examples:
        >>> from quickstudy.learners.read import InContextRegressor, Transformer
        >>> body = Transformer(width=16, depth=2)
        >>> classes, values = qs.InContext(features=4, transformer=body), InContextRegressor(features=1, transformer=body)
        >>> values.blocks is classes.blocks
        True
    """

    def __init__(
        self, width: PositiveInt = 64, depth: PositiveInt = 4, heads: PositiveInt = 4, generator: torch.Generator | None = None
    ):
        if width % heads:
            raise ArgumentError(
                "width",
                expected=f"a multiple of heads={heads}",
                got=str(width),
                do=f"Give width={width // heads * heads + heads}.",
            )
        drawn = generator or torch.Generator().manual_seed(0)
        super().__init__(Block(width, heads, (2 * depth) ** -0.5, drawn) for _ in range(depth))
        self.width, self.depth, self.heads, self.generator = width, depth, heads, None

    def read(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of every block, each (depth, heads, support, d), from the support's tokens s (support, width)."""
        keys, values = [], []
        for layer, block in enumerate(self, 1):
            assert isinstance(block, Block)
            k, v = block.memory(s)
            keys.append(k)
            values.append(v)
            s = block(s, k, v) if layer < len(self) else s  # the last layer's output is unused
        return torch.stack(keys), torch.stack(values)

    def ask(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The queries' tokens after the last block (queries, width)."""
        for block, k, v in zip(self, keys, values, strict=True):
            q = block(q, k, v)
        return q


class Block(nn.Module):
    """One layer: attention to the support and a perceptron, each added to its input. See `InContext`, (3) and (4)."""

    def __init__(self, width: PositiveInt, heads: PositiveInt, residual: float, generator: torch.Generator):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_perceptron = Norm(width), Norm(width)
        self.Q, self.K, self.V = (weight(width, width, generator) for _ in range(3))
        self.U = weight(width, width, generator, residual)
        self.B, self.b = weight(width, 4 * width, generator), zeros(4 * width)
        self.C, self.c = weight(4 * width, width, generator, residual), zeros(width)

    def memory(self, S: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the support tokens (support, width): each (heads, support, d)."""
        S = self.norm_attention(S)
        return self._split(S @ self.K), self._split(S @ self.V)

    def forward(self, h: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """h (tokens, width), each row updated by itself from the support's keys and values."""
        seen = attention(self._split(self.norm_attention(h) @ self.Q), keys, values)  # (4)
        h = h + seen.transpose(0, 1).reshape(h.shape) @ self.U
        return h + F.gelu(self.norm_perceptron(h) @ self.B + self.b) @ self.C + self.c  # (3)

    def _split(self, h: Tensor) -> Tensor:
        """(tokens, width) as (heads, tokens, d)."""
        return h.reshape(h.shape[0], self.heads, h.shape[1] // self.heads).transpose(0, 1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / sqrt d) v over the last two axes, in plain operators: fused attention has no second derivative."""
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v


class Norm(nn.Module):
    """Layer norm whose weight and bias are applied outside: the fused one is wrong under vmap in second order (torch 2.13)."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), zeros(width)

    def forward(self, h: Tensor) -> Tensor:
        """(tokens, width), each token to mean 0 and variance 1, then weight and bias."""
        return F.layer_norm(h, h.shape[-1:]) * self.weight + self.bias


def weight(inputs: PositiveInt, outputs: PositiveInt, generator: torch.Generator, scale: float = 1.0) -> nn.Parameter:
    """(inputs, outputs), normal of standard deviation scale / sqrt(inputs)."""
    return nn.Parameter(torch.randn(inputs, outputs, generator=generator) * (scale * inputs**-0.5))


def zeros(*shape: int) -> nn.Parameter:
    """A parameter of zeros."""
    return nn.Parameter(torch.zeros(*shape))
