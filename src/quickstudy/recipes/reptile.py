"""Reptile: move the start towards the result of the descent.

    phi  <-  phi + epsilon (theta_K - phi)

Source: Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018, algorithm 1.
Paper: Omniglot 5-way 1-shot 95.39 +- 0.09 %, 97.68 +- 0.04 % transductive, training on 10 shots.
Departures: the inner Adam restarts in each task (the authors' code keeps its moments). With their eps = 1e-8 and rate 0.001 it
is then sign descent: 55 % after 60 meta-steps on Omniglot's meta-validation tasks, and 83 % with the eps = 0.01 and rate 0.01
that are the default here (`benchmarks/reproduction/settings.md`). Inner steps take the whole set (theirs draw minibatches of 10);
epsilon is constant unless the outer method is given a scheduler (theirs falls to 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import torch
from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.rule import Adam
from quickstudy.meta.estimators.reptile_direction import ReptileDirection
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import StepOptions


@remembered
@checked
@hands_on(StepOptions, Descent, rule=Adam(b1=0.0, eps=1e-2))
def Reptile(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat = 0.01,
    inner_steps: NonNegativeInt = 5,
    adapts: str | Sequence[str] = "*",
    outer_lr: PositiveFloat = 1.0,
    **options: Unpack[StepOptions],
) -> Descent:
    """`Descent` with the outer method `ReptileDirection` and SGD with rate `outer_lr` (epsilon)."""
    return Descent(
        network,
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        hypergradient=FirstOrder(),
        adapts=adapts,
        outer=Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=outer_lr)),
        name="Reptile",
        **options,
    )
