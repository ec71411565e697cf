"""Context parameters: a few numbers, 0 at the start of every task, that tell a network which task it is in.

    f(x; c)  =  f([x, c])                                     concatenated to the input                                  (1)
    z_j      <-  gamma_j z_j + beta_j,   (gamma, beta) = W c + b              feature-wise modulation (FiLM) of a layer      (2)

c is a buffer, not a parameter, so it is not meta-learned. `CAVIA` (quickstudy.recipes) descends on it alone.

Source: Zintgraf, Shiarlis, Kurin, Hofmann & Whiteson, "Fast Context Adaptation via Meta-Learning", ICML 2019, section 3; Perez
et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018, eq. 2. As in the code of the former, W and b begin
as those of any linear layer, so that gamma is small at c = 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.forward.call import plain
from quickstudy.models.conv4 import Conv4


@checked
class WithContext(nn.Module):
    """Concatenates c to the input of a network: (examples, features) -> network of (examples, features + size).

    Args:
        network: a network with features + size inputs.
        size: length of c.

    Examples:
        >>> network = qs.models.WithContext(qs.models.mlp(1 + 5, 1), size=5)
        >>> network(torch.randn(10, 1)).shape
        torch.Size([10, 1])
        >>> list(qs.CAVIA(network).initial())
        ['context']
    """

    context: Tensor

    def __init__(self, network: nn.Module, size: int = 5):
        super().__init__()
        self.network, self.size = plain("network", network), size
        self.register_buffer("context", torch.zeros(size), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(1)"""
        return self.network(torch.cat([x, self.context.expand(len(x), -1)], 1))


@checked
class FiLM(nn.Module):
    """Modulates the channels of z (examples, channels, ...) by c; put it between the layers of your own network.

    Args:
        channels: channels of z.
        size: length of c.

    Examples:
        >>> film = qs.models.FiLM(channels=8, size=5)
        >>> network = torch.nn.Sequential(torch.nn.Linear(1, 8), film, torch.nn.ReLU(), torch.nn.Linear(8, 1))
        >>> list(qs.CAVIA(network).initial())
        ['1.context']
    """

    context: Tensor

    def __init__(self, channels: PositiveInt, size: int = 100):
        super().__init__()
        self.channels, self.size = channels, size
        self.linear = nn.Linear(size, 2 * channels)
        self.register_buffer("context", torch.zeros(size), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """(2)"""
        gamma, beta = self.linear(self.context).reshape(2, -1, *(1,) * (z.ndim - 2))
        return gamma * z + beta


@checked
class ContextConv4(nn.Module):
    """Conv4 whose third block is modulated by c between its pooling and its ReLU, as in the paper's code.

    Args:
        ways: outputs of the head.
        channels: channels of every block.
        in_channels: channels of the image.
        size: height and width of the image in pixels.
        context_size: length of c.

    Examples:
        >>> network = qs.models.ContextConv4(ways=5, channels=8)
        >>> network(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, ways: int, channels: PositiveInt = 64, in_channels: PositiveInt = 1, size: int = 28, context_size: PositiveInt = 100
    ):
        super().__init__()
        self.ways, self.channels, self.in_channels, self.size = ways, channels, in_channels, size
        self.context_size = context_size
        self.network = Conv4(ways, channels, in_channels, size)
        self.film = FiLM(channels, context_size)

    def forward(self, x: Tensor) -> Tensor:
        """(examples, in_channels, size, size) -> (examples, ways)."""
        if self.in_channels == 1:  # channels last, as Conv4 has it
            x = x.reshape(-1, *x.shape[2:], 1).movedim(-1, 1)
        for index, block in enumerate(self.network.blocks):
            z = F.max_pool2d(block.norm(block.conv(x)), 2)  # type: ignore[operator]
            x = F.relu(self.film(z) if index == 2 else z)
        return self.network.head(x.flatten(1))  # type: ignore[misc]
