"""ResNet-12, the field's larger image network.

Source: Oreshkin, Rodriguez & Lacoste, "TADAM", NeurIPS 2018; widths as in Lee et al., "Meta-Learning with Differentiable
Convex Optimization", CVPR 2019 (without its DropBlock; each block has dropout before its pooling).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, Probability, checked


class ResidualBlock(nn.Module):
    """Three 3x3 convolutions with batch norm beside a 1x1 shortcut, leaky ReLU, dropout, 2x2 max-pooling."""

    def __init__(self, inputs: PositiveInt, outputs: PositiveInt, dropout: Probability):
        super().__init__()
        widths = (inputs, outputs, outputs)
        self.convs = nn.ModuleList(nn.Conv2d(width, outputs, 3, padding=1, bias=False) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in widths)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, inputs, height, width) -> (examples, outputs, height // 2, width // 2)."""
        z = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            z = norm(conv(z))
            z = F.leaky_relu(z if index < 2 else z + self.shortcut(x), 0.1)
        return F.max_pool2d(self.dropout(z), 2)


@checked
class ResNet12(nn.Module):
    """Four residual blocks, global average pooling, then a linear head of `ways` outputs (none without `ways`).

    Args:
        ways: outputs of the head; None: no head, the network is an embedding.
        channels: channels of each block; the last is the size of the embedding.
        in_channels: channels of the image.
        dropout: probability of dropout in each block.

    Examples:
        >>> network = qs.models.ResNet12(ways=5, channels=(4, 8, 8, 16))
        >>> network(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        ways: PositiveInt | None = None,
        channels: Sequence[PositiveInt] = (64, 160, 320, 640),
        in_channels: PositiveInt = 3,
        dropout: Probability = 0.1,
    ):
        super().__init__()
        self.ways, self.channels, self.in_channels, self.dropout = ways, tuple(channels), in_channels, dropout
        self.features = self.channels[-1]
        widths = (in_channels, *self.channels)
        pairs = itertools.pairwise(widths)
        self.blocks = nn.Sequential(*(ResidualBlock(before, after, dropout) for before, after in pairs))
        self.head = None if ways is None else nn.Linear(self.features, ways)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, in_channels, height, width) -> (examples, ways), or (examples, features) without a head."""
        z = self.blocks(x).mean((2, 3))
        return z if self.head is None else self.head(z)


@checked
def resnet12(
    ways: PositiveInt | None = None,
    channels: Sequence[PositiveInt] = (64, 160, 320, 640),
    in_channels: PositiveInt = 3,
    dropout: Probability = 0.1,
) -> ResNet12:
    """ResNet-12 with a head of `ways` outputs, or as an embedding if `ways` is None."""
    return ResNet12(ways, channels, in_channels, dropout)
