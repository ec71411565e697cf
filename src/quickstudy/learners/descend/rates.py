"""Step sizes of the inner loop: one constant, or learned, a rate for every weight (Meta-SGD) or for every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from quickstudy.network import Parameters


@dataclass(frozen=True)
class LearnedRates:
    """Inner step sizes that are part of phi.

    Args:
        initial: the value that every rate starts from.
        per: "element", a rate for each weight, as Meta-SGD has; or "tensor", one for each parameter tensor.
    """

    initial: float = 0.01
    per: Literal["element", "tensor"] = "element"


class Rates(nn.Module):
    """rates() -> a step size for each parameter by name; a buffer where constant, parameters where learned.

    A constant is a 0-d buffer and not a Python float, so that a schedule may change it without a new compilation.
    """

    def __init__(self, inner_lr: float | LearnedRates, theta: Parameters):
        super().__init__()
        self.names = tuple(theta)
        if isinstance(inner_lr, LearnedRates):
            full = {name: torch.full_like(p, inner_lr.initial) for name, p in theta.items()}
            each = inner_lr.per == "element"
            self.rate = nn.ParameterList(nn.Parameter(one if each else one.flatten()[0].clone()) for one in full.values())
        else:
            self.register_buffer("rate", torch.tensor(float(inner_lr), dtype=next(iter(theta.values())).dtype), persistent=False)

    def forward(self) -> dict[str, Tensor]:
        """The step size of each parameter, by its name."""
        if isinstance(self.rate, Tensor):
            return dict.fromkeys(self.names, self.rate)
        return dict(zip(self.names, self.rate, strict=True))
