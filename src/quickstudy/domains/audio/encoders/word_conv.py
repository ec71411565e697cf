"""WordConv: convolutions over the parts of a word, beside the parts themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.randomness import seeded

SMALLER = 4.0  # cepstra are of the order of 4


@checked
class WordConv(nn.Module):
    """What `Cepstra` gives, weighed, beside what four convolutions make of it; the places of a word stay apart.

        u  =  e^a  e^v z                                   v: a weight for each coefficient
        g  =  e^b  conv_2 conv conv_2 conv z               group norm behind each, relu between them; conv_2 halves the parts
        f(x)  =  [ u, g ]

    It begins close to the distance of cepstra, which serves without training, and learns what to add.

    Args:
        coefficients, parts: of its input.
        width: of the convolutions.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1.

    Examples:
        >>> from quickstudy.domains.audio.encoders import Cepstra, WordConv
        >>> WordConv(width=8)(Cepstra(rate=8000)(torch.randn(2, 8000))).shape
        torch.Size([2, 336])
    """

    def __init__(self, coefficients: PositiveInt = 12, parts: PositiveInt = 24, width: PositiveInt = 64, seed: int = 0):
        super().__init__()
        self.coefficients, self.parts, self.width, self.seed = coefficients, parts, width, seed
        layers = list[nn.Module]()
        with seeded(seed):
            for inputs, stride in ((coefficients, 1), (width, 2), (width, 1), (width, 2)):
                layers += [nn.Conv1d(inputs, width, 3, stride, 1), nn.GroupNorm(min(4, width), width), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers[:-1])
        self.log_weights = nn.Parameter(torch.zeros(coefficients))
        self.log_scale, self.log_share = nn.Parameter(torch.tensor(-4.0)), nn.Parameter(torch.tensor(-2.5))
        self.features = coefficients * parts + width * -(-parts // 4)

    def forward(self, z: Tensor) -> Tensor:
        """(examples, coefficients, parts) -> (examples, features)."""
        u = self.log_scale.exp() * self.log_weights.exp()[:, None] * z
        g = self.log_share.exp() * self.convolutions(z / SMALLER)
        return torch.cat([u.flatten(1), g.flatten(1)], 1)
