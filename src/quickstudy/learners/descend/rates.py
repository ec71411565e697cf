"""Step sizes of the inner loop: one constant, or learned: for every weight (Meta-SGD) or tensor, at every step (MAML++)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.forward.call import Parameters


@checked
@dataclass(frozen=True)
class LearnedRates:
    """Inner step sizes that are part of phi.

    Args:
        initial: the value that every rate starts from.
        per: "element", a rate for each weight, as in Meta-SGD; or "tensor", one for each parameter tensor.
        per_step: whether every inner step has its own rates, as in MAML++; steps past the last use the last one's.

    Examples:
        >>> from quickstudy.learners.descend import LearnedRates
        >>> rates = LearnedRates(0.1, per="tensor", per_step=True)
        >>> learner = qs.MAML(torch.nn.Linear(4, 3), inner_lr=rates, inner_steps=5)
        >>> [tuple(rate.shape) for rate in learner.rates.parameters()]  # 5 steps, of weight and bias
        [(5,), (5,)]
    """

    initial: float = 0.01
    per: Literal["element", "tensor"] = "element"
    per_step: bool = False


class Rates(nn.Module):
    """rates(t) -> a step size for each parameter at step t; a buffer if constant, parameters if learned.

    A constant is a 0-d buffer and not a Python float, so that a schedule may change it without recompilation. Per-step rates
    are one parameter with a leading axis `steps`.
    """

    def __init__(self, inner_lr: NonNegativeFloat | LearnedRates, theta: Parameters, steps: int = 1):
        super().__init__()
        self.names = tuple(theta)
        self.steps = max(steps, 1) if isinstance(inner_lr, LearnedRates) and inner_lr.per_step else None
        if isinstance(inner_lr, LearnedRates):
            full = {name: torch.full_like(p, inner_lr.initial) for name, p in theta.items()}
            each = inner_lr.per == "element"
            rates = [one if each else one.flatten()[0].clone() for one in full.values()]
            if self.steps is not None:
                rates = [one.expand(self.steps, *one.shape).clone() for one in rates]
            self.rate = nn.ParameterList(nn.Parameter(one) for one in rates)
        else:
            self.register_buffer("rate", torch.tensor(float(inner_lr), dtype=next(iter(theta.values())).dtype), persistent=False)

    def forward(self, t: int = 0) -> dict[str, Tensor]:
        """The step size of each parameter at step t, by its name."""
        if isinstance(self.rate, Tensor):
            return dict.fromkeys(self.names, self.rate)
        rates = self.rate if self.steps is None else [rate[min(t, self.steps - 1)] for rate in self.rate]
        return dict(zip(self.names, rates, strict=True))
