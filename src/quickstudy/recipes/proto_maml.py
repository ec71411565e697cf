"""Proto-MAML: MAML whose head starts as the classifier of Prototypical networks.

    theta_0 = ( phi, 2 c_k, -||c_k||^2 ),   theta_{t+1} = theta_t - a d/dtheta L(theta_t, support),   c_k the mean of class k
    phi  <-  phi - b  d/dphi sum_tasks L(theta_K(phi), query),      through the c_k too

So it learns tasks of any number of ways, and before the first step it classifies as Prototypical does.

Source: Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020, section
2.3. Paper: Meta-Dataset, trained on its ImageNet alone, in first order: 57.5 % over its ten sources (Prototypical: 56.1 %).
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.prototype_head import PrototypeHead
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import StepOptions


@remembered
@checked
@hands_on(StepOptions, PrototypeHead)
def ProtoMAML(
    embed: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.01,
    inner_steps: NonNegativeInt = 5,
    hypergradient: Hypergradient = Unrolled(),
    **options: Unpack[StepOptions],
) -> PrototypeHead:
    """`PrototypeHead` with the exact meta-gradient; `FirstOrder()` is the paper's fo-Proto-MAML."""
    return PrototypeHead(
        embed, inner_lr=inner_lr, inner_steps=inner_steps, hypergradient=hypergradient, name="Proto-MAML", **options
    )
