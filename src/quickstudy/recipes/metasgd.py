"""Meta-SGD: learn the start and a step size for every weight.

    theta = phi - alpha o d/dphi L(phi, support);   phi and alpha are meta-learned together

Source: Li, Zhou, Chen & Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017, algorithm 1.
Paper: Omniglot 5-way 1-shot 99.53 +- 0.26 % (one inner step).
Departure: every rate starts from the same value; the paper draws them from U[0.005, 0.1].
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import DescentOptions


@remembered
@checked
@hands_on(DescentOptions, Descent)
def MetaSGD(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat = 0.1,
    inner_steps: NonNegativeInt = 1,
    hypergradient: Hypergradient = Unrolled(),
    **options: Unpack[DescentOptions],
) -> Descent:
    """Meta-SGD: `Descent` with a learned rate per weight that starts from `inner_lr`."""
    return Descent(
        network,
        inner_lr=LearnedRates(inner_lr, per="element"),
        inner_steps=inner_steps,
        hypergradient=hypergradient,
        name="Meta-SGD",
        **options,
    )
