"""Fine-tuning: a pre-trained embedding, a head imprinted by the support, then gradient descent on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError
from quickstudy.learners.compare.prototypical import class_means
from quickstudy.learners.descend.descent import INNER, Descent, DescentState
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.rule import Adam, InnerRule
from quickstudy.learners.learner import State, check_ways
from quickstudy.learners.transfer.pretext import Pretext, cosine, unit
from quickstudy.learners.transfer.pretrained import Pretrained
from quickstudy.network import call, plain
from quickstudy.rules import Normalisation, Rules, active

if TYPE_CHECKING:
    from quickstudy.meta.outer import Gradient


class FineTune(Pretrained, rules=False):
    """Fine-tune a pre-trained embedding f_phi on the support set.

        w_k      =  1/|S_k| sum_{(x, y) in S_k} unit(f_phi(x)),          unit(z) = z / ||z||                  (1)
        theta_0  =  (phi, w)                                                                                 (2)
        theta_K  =  K steps of Adam on  L( s cos(f_theta(x), w_k) )  over the support                        (3)
        p(y = k | x)  =  softmax_k( s cos(f_theta_K(x), w_k) )                                               (4)

    With K = 0 this is the nearest class mean by cosine. A random head would first have to be learned, from one example a
    class; the imprinted one starts there, and so the steps may be small: with one shot and running averages larger ones hurt
    (Omniglot, Conv4: 1e-3 cost 13 points, 1e-4 one), with normalisation="support" 3e-4 is safe, and better with five.

    Main arguments:
        embed: f, (examples, *feature) -> (examples, features).
        pretext: the head of pre-training: `CosineClassifier()` or `Projection()`.
        inner_lr, inner_steps: of the fine-tuning, K steps; the rate is that of Dhillon et al.
        adapts: "*" for all, "head" for w alone, or globs over the embedding's names with it: ("head", "embed.blocks.3.*").
        normalisation: "running" by default: the averages of pre-training.

    Other arguments:
        scale: s.
        rule: of the steps.
        outer: the across-task method that `meta_train` takes where none is given.
        name: what tables call it.

    Raises:
        ArgumentError: `adapts` that leaves the head out.

    Source: (1) Qi, Brown & Lowe, "Low-Shot Learning with Imprinted Weights", CVPR 2018; (3) over all weights: Dhillon et
    al., "A Baseline for Few-Shot Image Classification", ICLR 2020.
    """

    exact_gradient = False  # first order through its steps

    def __init__(
        self,
        embed: nn.Module,
        pretext: Pretext,
        *,
        inner_lr: float = 5e-5,
        inner_steps: int = 5,
        adapts: str | Sequence[str] = "*",
        scale: float = 20.0,
        rule: InnerRule = Adam(),
        normalisation: Normalisation = "running",
        outer: Gradient | None = None,
        name: str = "FineTune",
    ):
        super().__init__(pretext, normalisation=normalisation)
        self.descent = Descent(
            CosineNetwork(plain("embed", embed), scale),
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=FirstOrder(),
            adapts=adapts,
            rule=rule,
            normalisation=normalisation,
        )
        self.descent.network.get_parameter("head").requires_grad_(False)  # each task brings its own: no part of phi
        self.inner_steps, self.outer, self.name = inner_steps, outer, name
        if "head" not in self.descent.names:
            raise ArgumentError(
                "adapts",
                expected="patterns of which one matches 'head', the classifier that the support imprints",
                got=repr(adapts),
                do="Add it, for example adapts=('head', 'embed.blocks.3.*'); '*' is all, 'head' the head alone.",
            )

    @property
    def embedding(self) -> nn.Module:
        assert isinstance(self.descent.network, CosineNetwork)
        return self.descent.network.embed

    def learn(self, support: Examples, steps: int | None = None) -> State:
        """theta_K, by `steps` steps (`inner_steps` of them where not given)."""
        descent, steps = self.descent, self.inner_steps if steps is None else steps
        z = call(self.embedding, {}, support.x, Rules(self._source()))
        w = class_means(unit(z), support.y, check_ways("support.y", support))  # (1)
        return descend_from(w, descent, support, steps)  # (2), (3)

    def predict(self, state: State, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return self.descent.predict(state, x)  # (4)

    def _source(self) -> Any:
        outer = active()
        return "batch" if outer is not None and outer.episode else INNER[self.normalisation]


class CosineNetwork(nn.Module):
    """s cos(f(x), w_k): the embedding and a place for the head w, empty until a task fills it."""

    def __init__(self, embed: nn.Module, scale: float):
        super().__init__()
        self.embed, self.scale = embed, scale
        self.head = nn.Parameter(torch.empty(0, 0))

    def forward(self, x: Any) -> Tensor:
        """(examples, *feature) -> (examples, ways)."""
        return self.scale * cosine(self.embed(x), self.head)


def descend_from(w: Tensor, descent: Descent, support: Examples, steps: int) -> DescentState:
    """The state after `steps` steps of `descent`, whose network is a `CosineNetwork`, from theta_0 = (phi, w)."""
    theta = {**descent.initial(), "head": w}
    state = {**descent.begin(support), "theta": theta, "rule": descent.rule.begin(theta)}
    return descent.settle(descent.hypergradient.descend(descent, state, support, steps), support)
