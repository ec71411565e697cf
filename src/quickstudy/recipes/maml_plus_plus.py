"""MAML++: MAML with learned rates, a loss after every step, per-step batch norm and annealing.

    theta_{t+1}  =  theta_t - a_{t,l} d/dtheta L(theta_t, support)          a learned rate for each step t and tensor l   (1)
    phi, a  <-  Adam at a cosine rate along  d/d(phi, a)  sum_tasks sum_t w_t(s) L(theta_t, query)                       (2)

w_t(s) goes from equal weights to the last step alone over the first tenth of the run; the derivative is first-order in the first
half; each theta_t has its own batch norms (`StepNorms`), which inner steps do not change.

Source: Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019, section 4 and table 1.
Paper: Omniglot 5-way 1-shot 99.47, 5-shot 99.93, 20-way 1-shot 97.65 +- 0.05, 5-shot 99.33 +- 0.03 %, an ensemble of the five
best checkpoints; the code normalises by each batch's own statistics at test too ("transductive").
Departures: normalisation="running" is the default, as the paper's text has it, not its code. The query after t steps is
answered by the norms of theta_t; the code has K norms, not K + 1, and answers it by those of step t - 1.
"""

from __future__ import annotations

from functools import partial
from typing import Unpack

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat, checked
from quickstudy.calls import remembered
from quickstudy.errors import ArgumentError
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.meta.outer.outer import Gradient, cosine
from quickstudy.options import hands_on
from quickstudy.recipes.options import StepOptions


@remembered
@checked
@hands_on(StepOptions, Descent, normalisation="running")
def MAMLPlusPlus(
    network: nn.Module,
    *,
    steps: int = 50_000,
    inner_lr: NonNegativeFloat = 0.1,
    inner_steps: NonNegativeInt = 5,
    multi_step: NonNegativeInt | None = None,
    first_order: NonNegativeInt | None = None,
    norms_per_step: bool = True,
    outer_lr: PositiveFloat = 1e-3,
    final_outer_lr: PositiveFloat = 1e-5,
    **options: Unpack[StepOptions],
) -> Descent:
    """`Descent` with a learned rate for each step and tensor, per-step norms, annealing and a cosine outer rate.

    Args:
        steps: number of meta-steps that the annealing spans: as many as `meta_train` will take.
        multi_step: number of initial meta-steps that use the loss after every inner step; None: a tenth of `steps`.
        first_order: number of initial meta-steps with the first-order derivative; None: half of `steps`; 0: none.
        outer_lr, final_outer_lr: the outer learning rate at the start and from meta-step `steps` on.

    Raises:
        ArgumentError: fewer than one step.
    """
    if steps < 1:
        raise ArgumentError("steps", expected="1 or more", got=str(steps), do="Give the meta-steps of the run.")
    return Descent(
        network,
        inner_lr=LearnedRates(inner_lr, per="tensor", per_step=True),
        inner_steps=inner_steps,
        norms_per_step=norms_per_step,
        annealing=Annealing(
            multi_step=steps // 10 if multi_step is None else multi_step,
            first_order=steps // 2 if first_order is None else first_order,
        ),
        outer=Gradient(
            optimizer=partial(torch.optim.Adam, lr=outer_lr, fused=True),
            scheduler=partial(LambdaLR, lr_lambda=partial(cosine, steps=steps, final=final_outer_lr / outer_lr)),
        ),
        name="MAML++",
        **options,
    )
