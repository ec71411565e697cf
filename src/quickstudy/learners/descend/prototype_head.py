"""PrototypeHead: descent from a linear classifier made of the class means."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat
from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import call, plain, tensor_of
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.inner_problem import Iterate
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.functional import class_means
from quickstudy.learners.learner import Loss, check_ways


class PrototypeHead(Descent):
    """Gradient descent on an embedding and a head that starts as the classifier of Prototypical networks.

        c_k      =  1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                                         (1)
        theta_0  =  ( phi, w, b ),         w_k = 2 c_k,         b_k = - ||c_k||^2                                (2)
        theta_K  =  K steps of descent on  L( w f_theta(x) + b )  over the support                               (3)
        p(y = k | x)  =  softmax_k( w_k' f(x) + b_k )     at theta_K                                             (4)

    Since - ||f(x) - c_k||^2 = w_k' f(x) + b_k - ||f(x)||^2, with K = 0 this is Prototypical. The meta-gradient passes through
    (2) as well as through the steps. The head is not part of phi, so meta-training and test may have different ways.

    It differs from `Descent` only in the start: steps, rates, rules and measures are the same.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        inner_lr: step size of embedding and head; `LearnedRates(...)` makes it part of phi (w and b then have one rate each).
        inner_steps: K.
        hypergradient: `Unrolled()` or `FirstOrder()`, which drops the second derivatives and keeps the path through (2).
        normalisation: see `Learner`.

    Other Args:
        loss, rule, clip, name: as in `Descent`.

    Raises:
        UnsupportedError: a hypergradient that sees only the last state, since it takes theta_0 to be phi.

    Source: Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020,
    section 2.3 (Proto-MAML).

    Examples:
        >>> from quickstudy.learners.descend import PrototypeHead
        >>> embed, task = qs.models.mlp(4, 16, hidden=(8,)), qs.tasks.GaussianClasses(ways=3, dim=4).test.sample(1)[0]
        >>> learners = PrototypeHead(embed, inner_steps=0), qs.Prototypical(embed)
        >>> p, q = (learner.adapt(task.support)(task.query.x).softmax(1) for learner in learners)
        >>> torch.allclose(p, q, atol=1e-5)
        True
    """

    label_equivariant = True  # the class means set its head, whatever their order

    def __init__(
        self,
        embed: nn.Module,
        *,
        inner_lr: NonNegativeFloat | LearnedRates = 0.01,
        inner_steps: NonNegativeInt = 5,
        hypergradient: Hypergradient = Unrolled(),
        loss: Loss | None = None,
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        clip: PositiveFloat | None = None,
        name: str = "PrototypeHead",
    ):
        if not hypergradient.every_step:
            raise UnsupportedError(
                "hypergradient",
                expected="one that passes through every step, and so to the head's beginning",
                got=repr(hypergradient),
                do="Use Unrolled() or FirstOrder().",
            )
        network = HeadedNetwork(plain("embed", embed))
        super().__init__(
            network,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=hypergradient,
            loss=loss,
            normalisation=normalisation,
            rule=rule,
            clip=clip,
            name=name,
        )
        for tensor in (network.w, network.b):
            tensor.requires_grad_(False)  # each task sets its own: not part of phi

    def start(self, support: Examples, context: Context) -> Iterate:
        """theta_0, (2)."""
        assert isinstance(self.network, HeadedNetwork)
        z = call(self.network.embed, {}, support.x, Forward(context, self._inner_source(context), -3))
        c = class_means(z, support.y, check_ways("support.y", support))  # (1)
        theta = {**self.initial(), "w": 2 * c, "b": -(c * c).sum(1)}  # (2)
        return Iterate(theta, self.rule.init(theta))


class HeadedNetwork(nn.Module):
    """w f(x) + b: an embedding and a linear head; every task sets w and b."""

    def __init__(self, embed: nn.Module):
        super().__init__()
        self.embed = embed
        self.w, self.b = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(examples, *feature) -> (examples, ways)."""
        return tensor_of(self.embed(*args, **kwargs), self.embed) @ self.w.T + self.b
