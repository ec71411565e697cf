"""FOMAML: MAML without second derivatives.

    phi  <-  phi - b sum_tasks  d/dtheta L(theta, query) at theta = theta_K(phi)

Source: Finn, Abbeel & Levine, ICML 2017, section 5.2; Nichol, Achiam & Schulman, "On First-Order Meta-Learning", 2018.
Paper: Omniglot 5-way 1-shot 98.3 +- 0.5 % (transductive).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.learner import Loss


def FOMAML(
    network: nn.Module,
    *,
    inner_lr: float = 0.1,
    inner_steps: int = 1,
    loss: Loss | None = None,
    adapts: str | Sequence[str] = "*",
    normalisation: Normalisation = "support",
    rule: InnerRule = SGD(),
    clip: float | None = None,
) -> Descent:
    """First-order MAML: `Descent` with `FirstOrder()`. See `Descent` for every argument."""
    return Descent(
        network,
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        hypergradient=FirstOrder(),
        loss=loss,
        adapts=adapts,
        normalisation=normalisation,
        rule=rule,
        clip=clip,
        name="FOMAML",
    )
