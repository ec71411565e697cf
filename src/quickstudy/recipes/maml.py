"""MAML: learn the start from which a few gradient steps lead to a good network.

    theta_K(phi) by SGD on the support;   phi <- phi - b  d/dphi sum_tasks L(theta_K(phi), query)

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, algorithm 1-2.
Paper: Omniglot 5-way 1-shot 98.7 +- 0.4 %, with batch norm on the query batch's own statistics ("transductive").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.learner import Loss
from quickstudy.rules import Normalisation


def MAML(
    network: nn.Module,
    *,
    inner_lr: float = 0.1,
    inner_steps: int = 1,
    hypergradient: Hypergradient = Unrolled(),
    loss: Loss | None = None,
    adapts: str | Sequence[str] = "*",
    normalisation: Normalisation = "support",
    **more: Any,
) -> Descent:
    """Model-agnostic meta-learning. `more` is any further argument of `Descent`: rule, clip, step_weights."""
    return Descent(
        network,
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        hypergradient=hypergradient,
        loss=loss,
        adapts=adapts,
        normalisation=normalisation,
        **{"name": "MAML", **more},
    )
