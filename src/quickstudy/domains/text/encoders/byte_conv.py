"""Convolutions over the bytes of a text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.encoders.pooling import mean_and_max
from quickstudy.errors import ArgumentError
from quickstudy.learners.read.transformer import Norm
from quickstudy.randomness import seeded


@checked
class ByteConv(nn.Module):
    """Residual convolutions over bytes, each twice as far as the one before; mean and maximum over the text.

        h_0    =  E[ids]
        h_l+1  =  h_l + relu( conv_{kernel, dilation 2^l}( norm h_l ) ),      l = 0 .. depth-1;   0 outside of the text
        z      =  [ mean_i h_i, max_i h_i ] W + w                             or, for pool=False, h_i W + w for each byte

    Args:
        features: of the output.
        width, depth, kernel: sizes of the convolutions; an odd kernel.
        pool: False: an output for each byte, for labels of tokens.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; an even kernel.

    Source: Conneau, Schwenk, Barrault & LeCun, "Very Deep Convolutional Networks for Text Classification", EACL 2017, made
    shallow; the dilations are those of van den Oord et al., "WaveNet", 2016. Layer norm in place of batch norm: no
    policy is needed.

    Examples:
        >>> from quickstudy.domains.text.encoders import ByteConv
        >>> reads = qs.tasks.Bytes(length=16)
        >>> text = reads.apply(reads.read(["good day", "buenos días"]))
        >>> ByteConv(features=8)(**text).shape, ByteConv(features=8, pool=False)(**text).shape
        (torch.Size([2, 8]), torch.Size([2, 16, 8]))
    """

    def __init__(
        self,
        features: PositiveInt = 64,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        kernel: PositiveInt = 5,
        pool: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise ArgumentError("kernel", expected="an odd number", got=str(kernel), do=f"Give {kernel + 1}.")
        self.features, self.width, self.depth, self.kernel, self.pool, self.seed = features, width, depth, kernel, pool, seed
        with seeded(seed):
            self.embedding = nn.Embedding(256, width)
            self.convolutions = nn.ModuleList(
                nn.Conv1d(width, width, kernel, padding=2**layer * (kernel // 2), dilation=2**layer) for layer in range(depth)
            )
            self.norms = nn.ModuleList(Norm(width) for _ in range(depth))
            self.head = nn.Linear(2 * width if pool else width, features)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, length) -> (examples, features), or (examples, length, features)."""
        here = mask[..., None]
        h = self.embedding(ids) * here
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            h = h + F.relu(convolution((norm(h) * here).transpose(1, 2)).transpose(1, 2)) * here
        return self.head(mean_and_max(h, mask) if self.pool else h)
