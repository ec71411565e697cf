"""ResidualLinear: features of a frozen encoder, moved by a linear map that begins as none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked


@checked
class ResidualLinear(nn.Module):
    """z -> a (z + W z), W = 0 at first.

    In `Prototypical` it begins as the nearest centroid of the features, with the temperature 1 / a^2: of unit vectors, whose
    squared distances are at most 4, a = 4 makes logits that tell classes apart. What meta-training adds is then in W and a alone.

    Args:
        features: of z, and of the output.
        scale: a at first; its logarithm is learned.

    Raises:
        ArgumentError: a size below 1, or a scale that is not positive.

    Examples:
        >>> z = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1)
        >>> bool((qs.models.ResidualLinear(8)(z) - 4 * z).abs().max() < 1e-6)
        True
    """

    def __init__(self, features: PositiveInt, scale: PositiveFloat = 4.0):
        super().__init__()
        self.features, self.scale = features, scale
        self.W, self.log_scale = nn.Linear(features, features, bias=False), nn.Parameter(torch.tensor(scale).log())
        nn.init.zeros_(self.W.weight)

    def forward(self, z: Tensor) -> Tensor:
        """(..., features) -> (..., features)."""
        return self.log_scale.exp() * (z + self.W(z))
