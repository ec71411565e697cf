"""MLDG, meta-learning domain generalisation: what lowers the loss of some domains is to lower that of others as well.

    phi*  =  argmin_phi  L_S(phi)  +  beta L_V( phi - a d/dphi L_S(phi) )        S some of the domains, V the others

With small a it is  L_S + beta L_V - a beta <d L_S, d L_V>: joint training that raises the inner product of the gradients.

Source: Li, Yang, Song & Hospedales, "Learning to Generalize: Meta-Learning for Domain Generalization", AAAI 2018, eq. 3.
Departure: the sum is divided by beta, which an outer Adam does not see.
"""

from __future__ import annotations

from torch import nn

from quickstudy.arguments import NonNegativeFloat, PositiveFloat, checked
from quickstudy.calls import remembered
from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.generalise.without_support import WithoutSupport
from quickstudy.learners.learner import Loss
from quickstudy.meta.estimators.backprop import Backprop
from quickstudy.meta.outer.outer import Gradient
from quickstudy.recipes.maml import MAML


@remembered
@checked
def MLDG(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat = 0.1,
    beta: PositiveFloat = 1.0,
    hypergradient: Hypergradient = Unrolled(),
    loss: Loss | None = None,
    normalisation: Normalisation = "running",
) -> WithoutSupport:
    """`MAML` of one step with `Backprop(before=1 / beta)` that answers without a support.

    It is meta-trained on `tasks.across(..., renumber=False)`.

    Args:
        network: (examples, *feature) -> (examples, ways), or (examples, *target).
        inner_lr: a.
        beta: the weight of the loss in the other domains.
        hypergradient: `Unrolled()`, or `FirstOrder()` without second derivatives, as DomainBed has it.
        loss: see `Descent`.
        normalisation: "running", "transductive" or "frozen".
    """
    return WithoutSupport(
        MAML(
            network,
            inner_lr=inner_lr,
            inner_steps=1,
            hypergradient=hypergradient,
            loss=loss,
            normalisation=normalisation,
            outer=Gradient(Backprop(before=1 / beta)),
        )
    )
