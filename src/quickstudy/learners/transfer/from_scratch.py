"""From scratch: train the network on the support set alone, from weights that no other task has touched."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt
from quickstudy.episode import Examples
from quickstudy.errors import NotFiniteError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.rule import Adam, InnerRule
from quickstudy.learners.learner import Learner, Loss, State
from quickstudy.learners.outcome import Answered


class FromScratch(Learner):
    """Train the network on the support set alone: a plain training run for each task, with nothing carried between tasks.

        theta_0  =  the weights of `network` as it was given        (the same for every task)               (1)
        theta_K  =  K full-batch steps of Adam on L(f_theta(support))                                        (2)
        predict(x)  =  f_{theta_K}(x)

    The network is copied when the learner is built: meta-training another learner on the same module does not change this one,
    and `meta_train` passes over it (`meta_learns` is False).

    Args:
        network: any nn.Module, (examples, *feature) -> (examples, ways) logits or (examples, *target) targets.
        inner_lr: Adam's step size.
        inner_steps: K.
        loss: L; None: cross-entropy for integer labels, mean squared error for targets.
        rule: update rule of the steps.
        normalisation: "support" by default; an untrained network has no running averages to use.

    Examples:
        >>> learner = qs.FromScratch(torch.nn.Linear(3, 3), inner_lr=0.1, inner_steps=20)
        >>> learner.adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(torch.eye(3))
        tensor([0, 1, 2])
    """

    meta_learns = False
    label_equivariant = False  # only after permuting the rows of the network's head as well

    def __init__(
        self,
        network: nn.Module,
        *,
        inner_lr: NonNegativeFloat = 1e-3,
        inner_steps: NonNegativeInt = 50,
        loss: Loss | None = None,
        rule: InnerRule = Adam(),
        normalisation: Normalisation = "support",
    ):
        super().__init__(normalisation=normalisation)
        self.descent = Descent(
            copy.deepcopy(plain("network", network)),  # (1)
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=FirstOrder(),
            loss=loss,
            rule=rule,
            normalisation=normalisation,
        )
        self.inner_steps = inner_steps

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """theta_K, after `steps` steps (default: `inner_steps`)."""
        return self.descent.state(support, context, steps)  # (2)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """f_{theta_K}(x)."""
        return self.descent.answer(state, x, context)

    @property
    def criterion(self) -> Loss | None:
        return self.descent.criterion

    def divergence(self, support: Examples) -> NotFiniteError:
        return self.descent.divergence(support)
