"""A learned loss: a small network over prediction and target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import checked
from quickstudy.episode import is_labels
from quickstudy.errors import ArgumentError
from quickstudy.learners.bilevel.parts import ExampleLoss, default_each


@checked
class LearnedLoss(ExampleLoss):
    """A loss for the student, learned so that minimising it lowers the plain loss on held-out data.

        classes    l_i  =  a (-ln p_{i, y_i})  +  sum_k  psi( ln p_ik, [y_i = k], -ln p_{i, y_i} )               (1)
        targets    l_i  =  mean_d [ a (f_id - y_id)^2  +  psi( f_id, y_id, f_id - y_id ) ]                       (2)

    psi is a network with one hidden layer, shared by all classes (so that renumbering them changes nothing) or by all numbers of
    a target. Its last layer starts at 0, so training starts with the plain loss.

    Args:
        hidden: units of psi.
        plain: a, the weight of the plain loss; 0: psi alone, which then starts at random.

    Raises:
        ArgumentError: hidden below 1.

    Source: Bechtle et al., "Meta-Learning via Learned Loss", ICPR 2020, eq. 1-3: a network over prediction and target, trained
    by the plain loss after the student's step. Departures: the plain loss is a part of it, and psi is shared over classes.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedLoss
        >>> loss, logits, y = LearnedLoss(), torch.randn(6, 3), torch.arange(6) % 3
        >>> torch.allclose(loss(logits, y), torch.nn.functional.cross_entropy(logits, y))  # before meta-training
        True
        >>> learner = qs.LearnedTraining(qs.models.mlp(4, 3), loss=loss, steps=10)
    """

    def __init__(self, hidden: int = 16, *, plain: float = 1.0):
        super().__init__()
        if hidden < 1:
            raise ArgumentError("hidden", expected="1 or more", got=str(hidden), do="Try 16.")
        self.hidden, self.plain = hidden, plain
        self.psi = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))
        if plain:
            nn.init.zeros_(self.psi[2].weight)  # type: ignore[arg-type]

    def each(self, prediction: Tensor, y: Tensor) -> Tensor:
        """(1) or (2), the loss of every example (examples,)."""
        plain = default_each(prediction, y)
        if is_labels(y):
            p = F.log_softmax(prediction, -1)
            k = torch.arange(p.shape[-1], device=y.device)
            z = torch.stack([p, (y[:, None] == k).to(p.dtype), plain[:, None].expand_as(p)], -1)
            return self.plain * plain + self.psi(z)[..., 0].sum(-1)
        z = torch.stack([prediction, y, prediction - y], -1)
        return self.plain * plain + self.psi(z)[..., 0].reshape(y.shape[0], -1).mean(1)
