"""FOMAML: MAML without second derivatives.

    phi  <-  phi - b sum_tasks  d/dtheta L(theta, query) at theta = theta_K(phi)

Source: Finn, Abbeel & Levine, ICML 2017, section 5.2; Nichol, Achiam & Schulman, "On First-Order Meta-Learning", 2018.
Paper: Omniglot 5-way 1-shot 98.3 +- 0.5 % (transductive).
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import DescentOptions


@remembered
@checked
@hands_on(DescentOptions, Descent)
def FOMAML(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.1,
    inner_steps: NonNegativeInt = 1,
    **options: Unpack[DescentOptions],
) -> Descent:
    """First-order MAML: `Descent` with `FirstOrder()`. See `Descent` for every argument."""
    return Descent(network, inner_lr=inner_lr, inner_steps=inner_steps, hypergradient=FirstOrder(), name="FOMAML", **options)
