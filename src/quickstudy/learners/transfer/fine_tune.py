"""Fine-tuning: a pre-trained embedding, a head imprinted from the support, then gradient descent on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import call, plain, tensor_of
from quickstudy.forward.context import Context, Normalisation, source
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import FirstOrder
from quickstudy.learners.descend.inner_problem import Iterate
from quickstudy.learners.descend.rule import Adam, InnerRule
from quickstudy.learners.functional import class_means, cosine, unit
from quickstudy.learners.learner import State, check_ways
from quickstudy.learners.outcome import Answered
from quickstudy.learners.transfer.pretext import Pretext
from quickstudy.learners.transfer.pretrained import Pretrained

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient


class FineTune(Pretrained):
    """Fine-tune a pre-trained embedding f_phi on the support set.

        w_k      =  1/|S_k| sum_{(x, y) in S_k} unit(f_phi(x)),          unit(z) = z / ||z||                  (1)
        theta_0  =  (phi, w)                                                                                 (2)
        theta_K  =  K steps of Adam on  L( s cos(f_theta(x), w_k) )  over the support                        (3)
        p(y = k | x)  =  softmax_k( s cos(f_theta_K(x), w_k) )                                               (4)

    With K = 0 this is the nearest class mean by cosine. A random head would first have to be learned, perhaps from one example
    per class; the imprinted one starts there, so the steps may be small. With one shot and running averages larger ones hurt
    (Omniglot, Conv4: 1e-3 cost 13 points, 1e-4 one); with normalisation="support" 3e-4 is safe, and better with five.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        pretext: the head of pre-training: `CosineClassifier()` or `Projection()`.
        inner_lr, inner_steps: learning rate and number K of the steps; the rate is that of Dhillon et al.
        adapts: the parameters to tune: "*" for all, "head" for w alone, or globs that include it: ("head", "embed.blocks.3.*").
        normalisation: "running" by default: the averages of pre-training.

    Other Args:
        scale: s.
        rule: update rule of the steps.
        outer: the outer method that `meta_train` takes by default.
        name: its name in tables.

    Raises:
        ArgumentError: `adapts` that leaves the head out.

    Source: (1) Qi, Brown & Lowe, "Low-Shot Learning with Imprinted Weights", CVPR 2018; (3) over all weights: Dhillon et
    al., "A Baseline for Few-Shot Image Classification", ICLR 2020.

    Examples:
        >>> from quickstudy.learners.transfer import CosineClassifier, FineTune
        >>> learner = FineTune(qs.models.mlp(4, 8), CosineClassifier(), adapts="head", inner_steps=3)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> learner(task.support, task.query.x, steps=0).shape  # the imprinted head, before any step
        torch.Size([30, 3])
    """

    exact_gradient = False  # first order through its steps

    def __init__(
        self,
        embed: nn.Module,
        pretext: Pretext,
        *,
        inner_lr: NonNegativeFloat = 5e-5,
        inner_steps: NonNegativeInt = 5,
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
        self.descent.network.get_parameter("head").requires_grad_(False)  # each task brings its own: not part of phi
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

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """theta_K, after `steps` steps (default: `inner_steps`)."""
        steps = self.inner_steps if steps is None else steps
        forward = Forward(context, source(self.normalisation, "inner", context.training), -3)
        z = call(self.embedding, {}, support.x, forward)
        w = class_means(unit(z), support.y, check_ways("support.y", support))  # (1)
        return descend_from(w, self.descent, support, steps, context)  # (2), (3)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """(4)"""
        return self.descent.answer(state, x, context)


class CosineNetwork(nn.Module):
    """s cos(f(x), w_k): the embedding and the head w, which is empty until a task sets it."""

    def __init__(self, embed: nn.Module, scale: float):
        super().__init__()
        self.embed, self.scale = embed, scale
        self.head = nn.Parameter(torch.empty(0, 0))

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """(examples, *feature) -> (examples, ways)."""
        return self.scale * cosine(tensor_of(self.embed(*args, **kwargs), self.embed), self.head)


def descend_from(w: Tensor, descent: Descent, support: Examples, steps: int, context: Context) -> State:
    """The state after `steps` steps of `descent`, with a `CosineNetwork`, from theta_0 = (phi, w)."""
    theta = {**descent.initial(), "head": w}
    first = Iterate(theta, descent.rule.init(theta))
    at = descent.hypergradient.descend(descent.problem(support, context), first, steps)
    return descent.finalise(at.theta, support, context, steps)
