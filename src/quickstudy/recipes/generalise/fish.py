"""Fish: one step in each domain, in random order, and a move towards where they end.

    phi  <-  phi + epsilon (theta_D - phi),      theta_0 = phi,  theta_{t+1} = theta_t - a d/dtheta L(domain pi(t))

To second order in a it raises the inner product of the gradients of different domains: see `DomainDescent`.

Source: Shi et al., "Gradient Matching for Domain Generalization", ICLR 2022, algorithm 1.
Departure: the rule's state restarts with each task, as that of `Reptile` does.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.generalise.domain_descent import DomainDescent
from quickstudy.learners.generalise.without_support import WithoutSupport
from quickstudy.learners.learner import Loss
from quickstudy.meta.estimators.reptile_direction import ReptileDirection
from quickstudy.meta.outer.outer import Gradient


@remembered
@checked
def Fish(
    network: nn.Module,
    *,
    domains: PositiveInt,
    passes: PositiveInt = 1,
    inner_lr: PositiveFloat = 0.1,
    outer_lr: PositiveFloat = 0.5,
    rule: InnerRule = SGD(),
    loss: Loss | None = None,
    normalisation: Normalisation = "frozen",
) -> WithoutSupport:
    """`DomainDescent` with `ReptileDirection` that answers without a support, for `tasks.by_domain(...)` with shots of 1 or more.

    Args:
        network: (examples, *feature) -> (examples, ways), or (examples, *target).
        domains: the number of meta-training domains.
        passes: how often each domain has its turn.
        inner_lr: a.
        outer_lr: epsilon.
        rule, loss: see `Descent`.
        normalisation: "transductive" or "frozen"; no running averages follow a direction of Reptile's kind.
    """
    outer = Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=outer_lr))
    return WithoutSupport(
        DomainDescent(
            network,
            domains=domains,
            passes=passes,
            inner_lr=inner_lr,
            loss=loss,
            normalisation=normalisation,
            rule=rule,
            outer=outer,
            name="Fish",
        )
    )
