"""PrototypeHead: descent from a linear classifier that the class means write."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.learners.compare.prototypical import class_means
from quickstudy.learners.descend.descent import Descent, DescentState, _dropout
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.learner import Loss, check_ways
from quickstudy.network import call, plain
from quickstudy.rules import Normalisation, Rules


class PrototypeHead(Descent, rules=False):
    """Gradient descent on an embedding and a head, the head started where Prototypical networks would put it.

        c_k      =  1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                                         (1)
        theta_0  =  ( phi, w, b ),         w_k = 2 c_k,         b_k = - ||c_k||^2                                (2)
        theta_K  =  K steps of descent on  L( w f_theta(x) + b )  over the support                               (3)
        p(y = k | x)  =  softmax_k( w_k' f(x) + b_k )     at theta_K                                             (4)

    For - ||f(x) - c_k||^2 = w_k' f(x) + b_k - ||f(x)||^2, so that with K = 0 this is Prototypical. The meta-gradient passes
    through (2) as well as through the steps. The head is no part of phi, so meta-training may have other ways than the test.

    It is `Descent` but for where that begins: its steps, rates, rules and measures are Descent's.

    Main arguments:
        embed: f_phi, (examples, *feature) -> (examples, features).
        inner_lr: of embedding and head; `LearnedRates(...)` makes it part of phi (w and b then have one rate each).
        inner_steps: K.
        hypergradient: `Unrolled()` or `FirstOrder()`, which drops the second derivatives and keeps the path through (2).
        normalisation: see `Learner`.

    Other arguments:
        loss, rule, clip, name: as of `Descent`.

    Raises:
        UnsupportedError: a hypergradient that sees only the last state: it takes theta_0 to be phi.

    Source: Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020,
    section 2.3 (Proto-MAML).
    """

    label_equivariant = True  # its head is written by the classes, whatever their order

    def __init__(
        self,
        embed: nn.Module,
        *,
        inner_lr: float | LearnedRates = 0.01,
        inner_steps: int = 5,
        hypergradient: Hypergradient = Unrolled(),
        loss: Loss | None = None,
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        clip: float | None = None,
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
            tensor.requires_grad_(False)  # each task brings its own: no part of phi

    def begin(self, support: Examples) -> DescentState:
        """The state before the first step: theta_0, (2)."""
        state = super().begin(support)
        assert isinstance(self.network, HeadedNetwork)
        z = call(self.network.embed, {}, support.x, Rules(self._inner_source(), **_dropout(state)))
        c = class_means(z, support.y, check_ways("support.y", support))  # (1)
        theta = {**state["theta"], "w": 2 * c, "b": -(c * c).sum(1)}  # (2)
        return {**state, "theta": theta, "rule": self.rule.begin(theta)}


class HeadedNetwork(nn.Module):
    """w f(x) + b: an embedding and a place for a linear head, which every task fills."""

    def __init__(self, embed: nn.Module):
        super().__init__()
        self.embed = embed
        self.w, self.b = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(examples, *feature) -> (examples, ways)."""
        return self.embed(x) @ self.w.T + self.b
