"""Meta-Curvature: learn the start and, for each layer, matrices that multiply its gradient.

    theta_{t+1} = theta_t - a P d/dtheta L(theta_t, support),   P G = G x_1 M_out x_2 M_in x_3 M_f;   phi and P are meta-learned

Source: Park & Oliva, "Meta-Curvature", NeurIPS 2019, eq. 6-9 and algorithm 1 (MC2).
Paper: no number was checked, so none is given here.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.curvature import Curvature
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import DescentOptions


@remembered
@checked
@hands_on(DescentOptions, Descent)
def MetaCurvature(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.1,
    inner_steps: NonNegativeInt = 1,
    hypergradient: Hypergradient = Unrolled(),
    **options: Unpack[DescentOptions],
) -> Descent:
    """`Descent` with the inner gradient preconditioned by `Curvature`."""
    return Descent(
        network,
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        hypergradient=hypergradient,
        curvature=Curvature(),
        name="Meta-Curvature",
        **options,
    )
