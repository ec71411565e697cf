"""Pretrained: the base of learners that pre-train an embedding on the pooled meta-training data, before any task.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ l( h_phi(f_phi(x)), y ) ]          f: embed,  h: pretext

The loss l comes from the estimator of the outer loop: `Supervised` or `Contrastive`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import apply, call
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.learner import Learner
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.learners.transfer.pretext import Pretext

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


class Pretrained(Learner):
    """The interface of a learner with an embedding f (`embed`) and the head h of its pre-training (`pretext`)."""

    def __init__(self, pretext: Pretext, *, normalisation: Normalisation):
        super().__init__(normalisation=normalisation)
        self.pretext = pretext

    @property
    @abstractmethod
    def embedding(self) -> nn.Module:
        """f."""

    def pretext_output(self, x: Any) -> Tensor:
        """h(f(x)), (examples, classes) or (examples, outputs)."""
        return self.pretext(apply(self.embedding, x))

    def prepare(self, tasks: TaskDistribution) -> None:
        """Build the pretext head for the classes of the meta-training data; a head that already fits is kept.

        Raises:
            UnsupportedError: the tasks have targets and no classes.
        """
        few = minibatch(tasks, 2, torch.Generator().manual_seed(0))
        if few.ways is None:
            raise UnsupportedError(
                "tasks",
                expected="tasks with classes, which pre-training can pool",
                got="tasks with targets",
                do="Use JointTraining for regression.",
            )
        parameter = next(self.embedding.parameters(), few.y)
        with torch.no_grad():
            z = call(self.embedding, {}, few.map(lambda leaf: leaf.to(parameter.device)).x, Forward(Context()))
        self.pretext.build(z.shape[-1], few.ways, z)
