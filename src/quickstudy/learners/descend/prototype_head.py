"""PrototypeHead: descent from a linear classifier made of the class means."""

from __future__ import annotations

from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.descend.support_head import HeadedNetwork, Means, SupportHead
from quickstudy.learners.learner import Loss


class PrototypeHead(SupportHead):
    """Gradient descent on an embedding and a head that starts as the classifier of Prototypical networks.

        c_k      =  1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                                         (1)
        theta_0  =  ( phi, w, b ),         w_k = 2 c_k,         b_k = - ||c_k||^2                                (2)
        theta_K  =  K steps of descent on  L( w f_theta(x) + b )  over the support                               (3)
        p(y = k | x)  =  softmax_k( w_k' f(x) + b_k )     at theta_K                                             (4)

    Since - ||f(x) - c_k||^2 = w_k' f(x) + b_k - ||f(x)||^2, with K = 0 this is Prototypical. The meta-gradient passes through
    (2) as well as through the steps. The head is not part of phi, so meta-training and test may have different ways.

    It differs from `Descent` only in the start: steps, rates, rules and measures are the same.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features), or (examples, length, features) for labels of tokens.
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
        super().__init__(
            HeadedNetwork(plain("embed", embed)),
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=hypergradient,
            loss=loss,
            normalisation=normalisation,
            rule=rule,
            clip=clip,
            name=name,
        )

    def head(self, z: Tensor, means: Means) -> tuple[Tensor, Tensor]:
        """(2)"""
        c = means(z)  # (1)
        return 2 * c, -(c * c).sum(1)
