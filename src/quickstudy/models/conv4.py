"""Conv4: four blocks of convolution, batch norm, ReLU and 2x2 max-pooling, the field's small image network.

Source: Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016, section 4.1.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, Range, checked


class Block(nn.Module):
    """3x3 convolution, batch norm, ReLU, 2x2 max-pooling: halves height and width; without pooling it keeps them."""

    def __init__(self, inputs: PositiveInt, outputs: PositiveInt, pool: bool = True):
        super().__init__()
        self.pool = pool
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, inputs, height, width) -> (examples, outputs, height // 2, width // 2)."""
        z = self.norm(self.conv(x))
        return F.relu(F.max_pool2d(z, 2) if self.pool else z)  # pooling first gives the same, on a quarter of the values


@checked
class Conv4(nn.Module):
    """Four blocks, then a linear head of `ways` outputs; without `ways` the flattened features.

    Args:
        ways: outputs of the head; None: no head, the network is an embedding.
        channels: channels of every block.
        in_channels: channels of the image, 1 for grey and 3 for colour.
        size: height and width of the image in pixels; the embedding has channels * (size // 2^pooled)^2 features.
        pooled: how many blocks, counted from the first, halve height and width.
        maps: whether an embedding keeps its feature maps (channels, height, width) instead of flattening them.

    Examples:
        >>> qs.models.Conv4(ways=5)(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 5])
        >>> qs.models.Conv4(in_channels=3, size=32).features
        256
    """

    def __init__(
        self,
        ways: PositiveInt | None = None,
        channels: PositiveInt = 64,
        in_channels: PositiveInt = 1,
        size: PositiveInt = 28,
        pooled: Annotated[int, Range(0, 4)] = 4,
        maps: bool = False,
    ):
        super().__init__()
        self.ways, self.channels, self.in_channels, self.size = ways, channels, in_channels, size
        self.pooled, self.maps = pooled, maps
        self.features = channels * (size // 2**pooled) ** 2
        widths = (in_channels, channels, channels, channels)
        self.blocks = nn.Sequential(*(Block(width, channels, index < pooled) for index, width in enumerate(widths)))
        self.head = None if ways is None else nn.Linear(self.features, ways)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a CPU convolves and pools large batches of such images fastest

    def forward(self, x: Tensor) -> Tensor:
        """(examples, in_channels, size, size) -> (examples, ways); without a head (examples, features), or its maps."""
        if self.in_channels == 1:  # a grey image fits both layouts; these strides say channels last
            x = x.reshape(-1, *x.shape[2:], 1).movedim(-1, 1)
        z = self.blocks(x)
        if self.head is not None:
            return self.head(z.flatten(1))
        return z if self.maps else z.flatten(1)


@checked
def conv4(
    ways: PositiveInt | None = None,
    channels: PositiveInt = 64,
    in_channels: PositiveInt = 1,
    size: PositiveInt = 28,
    pooled: Annotated[int, Range(0, 4)] = 4,
    maps: bool = False,
) -> Conv4:
    """Conv4 with a head of `ways` outputs, or as an embedding if `ways` is None."""
    return Conv4(ways, channels, in_channels, size, pooled, maps)
