"""ANIL, "almost no inner loop": MAML in which only the head adapts.

    theta = (body, head);   only head_{t+1} = head_t - a d/dhead L(theta_t, support);   both are meta-learned

Source: Raghu, Raghu, Bengio & Vinyals, "Rapid Learning or Feature Reuse?", ICLR 2020, section 4.
Paper: Omniglot 20-way 1-shot 96.2 +- 0.5 % (MAML there: 93.7 +- 0.7 %).
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
@hands_on(DescentOptions, Descent, adapts="head.*")
def ANIL(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.1,
    inner_steps: NonNegativeInt = 5,
    hypergradient: Hypergradient = Unrolled(),
    **options: Unpack[DescentOptions],
) -> Descent:
    """MAML on the head alone: `Descent` with adapts="head.*", the name of the head in quickstudy's own models.

    With more classes take a larger rate: on Omniglot 1.0 at 20 classes, where 0.1 hardly moves the head.
    """
    return Descent(network, inner_lr=inner_lr, inner_steps=inner_steps, hypergradient=hypergradient, name="ANIL", **options)
