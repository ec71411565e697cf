"""ERM, empirical risk minimisation: one network for all domains at once.

    phi*  =  argmin_phi  mean over domains of L( f_phi, domain )

The control of domain generalisation, which is hard to beat.

Source: Vapnik, "Statistical Learning Theory", 1998; Gulrajani & Lopez-Paz, "In Search of Lost Domain Generalization", ICLR 2021.
"""

from __future__ import annotations

from torch import nn

from quickstudy.arguments import checked
from quickstudy.calls import remembered
from quickstudy.forward.context import Normalisation
from quickstudy.learners.generalise.without_support import WithoutSupport
from quickstudy.learners.learner import Loss
from quickstudy.recipes.joint_training import JointTraining


@remembered
@checked
def ERM(network: nn.Module, *, loss: Loss | None = None, normalisation: Normalisation = "running") -> WithoutSupport:
    """`JointTraining` that answers without a support, for `tasks.by_domain(...)`, whose query it takes.

    Args:
        network: (examples, *feature) -> (examples, ways), or (examples, *target).
        loss: see `Descent`.
        normalisation: "running", "transductive" or "frozen".
    """
    return WithoutSupport(JointTraining(network, inner_steps=0, loss=loss, normalisation=normalisation))
