"""MAML: learn the start from which a few gradient steps lead to a good network.

    theta_{t+1} = theta_t - a d/dtheta L(theta_t, support),   theta_0 = phi
    phi  <-  phi - b  d/dphi sum_tasks L(theta_K(phi), query)

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, algorithm 2.
Paper: Omniglot 5-way 1-shot 98.7 +- 0.4 %, with batch norm on the query batch's own statistics ("transductive").
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
def MAML(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.1,
    inner_steps: NonNegativeInt = 1,
    hypergradient: Hypergradient = Unrolled(),
    **options: Unpack[DescentOptions],
) -> Descent:
    """Model-agnostic meta-learning: `Descent` with the exact meta-gradient. See `Descent` for every argument."""
    return Descent(network, inner_lr=inner_lr, inner_steps=inner_steps, hypergradient=hypergradient, name="MAML", **options)
