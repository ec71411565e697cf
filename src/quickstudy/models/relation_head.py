"""The relation module: scores two feature maps, concatenated along their channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.models.conv4 import Block


@checked
class RelationHead(nn.Module):
    """Two blocks of convolution, batch norm, ReLU and max-pooling, then two linear layers: a score before its sigmoid.

    Args:
        channels: channels of each of the two maps, and of the blocks.
        size: height and width of the maps, 4 or more, because the blocks halve them twice.
        hidden: units between the linear layers.

    Raises:
        ArgumentError: `size` is below 4.

    Source: Sung et al., "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018, section 3.4, figure 2.

    Examples:
        >>> maps = qs.models.conv4(pooled=2, maps=True)(torch.randn(3, 1, 28, 28))
        >>> pairs = torch.cat([maps, maps.flip(0)], 1)
        >>> qs.models.RelationHead()(pairs).shape
        torch.Size([3, 1])
    """

    def __init__(self, channels: PositiveInt = 64, size: int = 7, hidden: PositiveInt = 8):
        super().__init__()
        if size < 4:
            raise ArgumentError(
                "size", expected="4 or more", got=str(size), do="Let fewer blocks of the embedding pool: conv4(pooled=2)."
            )
        self.channels, self.size, self.hidden = channels, size, hidden
        self.blocks = nn.Sequential(Block(2 * channels, channels), Block(channels, channels))
        self.first, self.second = nn.Linear(channels * (size // 4) ** 2, hidden), nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(pairs, 2 * channels, size, size) -> (pairs, 1)."""
        return self.second(F.relu(self.first(self.blocks(x).flatten(1))))


@checked
def relation_head(channels: PositiveInt = 64, size: int = 7, hidden: PositiveInt = 8) -> RelationHead:
    """The relation module of the paper; the defaults fit `conv4(pooled=2, maps=True)`, with 64 channels of 7 x 7."""
    return RelationHead(channels, size, hidden)
