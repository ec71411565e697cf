"""Joint training: one network for all tasks at once, then descent from it on a new task.

    phi*  =  argmin_phi  E_tasks [ L( f_phi, query ) ],            then  theta_K(phi*) by SGD on the support

The control of the MAML paper ("pretrained on all tasks"): MAML's outer loop at inner rate 0, MAML's inner loop at test. If the
label of a class changes from task to task, as in N-way episodes, no phi fits all tasks and accuracy before the descent is at
chance; for classes that keep their labels use PretrainFineTune, which pools them.

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, section 5.1.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.meta.estimators.pretraining import Joint
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import DescentOptions


@remembered
@checked
@hands_on(DescentOptions, Descent, outer=Gradient(Joint()))
def JointTraining(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.01,
    inner_steps: NonNegativeInt = 5,
    hypergradient: Hypergradient = FirstOrder(),
    **options: Unpack[DescentOptions],
) -> Descent:
    """`Descent` with the outer method `Joint`. See `Descent` for every argument."""
    return Descent(
        network, inner_lr=inner_lr, inner_steps=inner_steps, hypergradient=hypergradient, name="JointTraining", **options
    )
