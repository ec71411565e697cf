"""CosineProbe: a cosine classifier, trained by gradient descent on a frozen pre-trained embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt
from quickstudy.episode import Examples
from quickstudy.forward.call import call, plain
from quickstudy.forward.context import Context, Normalisation, source
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.rule import InnerRule, Momentum
from quickstudy.learners.functional import class_means, unit
from quickstudy.learners.learner import State, check_ways, recorded
from quickstudy.learners.outcome import Answered
from quickstudy.learners.transfer.fine_tune import CosineNetwork, descend_from
from quickstudy.learners.transfer.pretext import Pretext
from quickstudy.learners.transfer.pretrained import Pretrained

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient


class CosineProbe(Pretrained):
    """A cosine classifier on a frozen pre-trained embedding f_phi.

        z_i       =  f_phi(x_i)                                                                                  (1)
        w_k       =  1/|S_k| sum_{(x, y) in S_k} unit(z),          unit(z) = z / ||z||                           (2)
        w         <-  K steps of descent on  CE( s cos(z_i, w_k), y_i )  over the support                        (3)
        p(y = k | x)  =  softmax_k( s cos(f_phi(x), w_k) )                                                       (4)

    Like `FineTune` with adapts="head", but faster: f embeds the support once and not at each of the K steps.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        pretext: the head of pre-training: `CosineClassifier()` or `Projection()`.
        inner_lr, inner_steps: learning rate and number K of the steps (3).

    Other Args:
        scale: s.
        rule: update rule of the steps.
        normalisation: "running" by default: the averages of pre-training.
        outer: the outer method that `meta_train` takes by default.
        name: its name in tables.

    Source: Chen, Liu, Kira, Wang & Huang, "A Closer Look at Few-shot Classification", ICLR 2019, section 3.2 (Baseline++); (2)
    is Qi, Brown & Lowe, "Low-Shot Learning with Imprinted Weights", CVPR 2018. Differs from the former: its w begins at random.

    Examples:
        >>> from quickstudy.learners.transfer import CosineClassifier, CosineProbe
        >>> learner = CosineProbe(torch.nn.Identity(), CosineClassifier(), inner_steps=3)
        >>> learner.adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(5 * torch.eye(3))
        tensor([0, 1, 2])
    """

    exact_gradient = False  # first order through its steps

    def __init__(
        self,
        embed: nn.Module,
        pretext: Pretext,
        *,
        inner_lr: NonNegativeFloat = 0.01,
        inner_steps: NonNegativeInt = 100,
        scale: float = 20.0,
        rule: InnerRule = Momentum(),
        normalisation: Normalisation = "running",
        outer: Gradient | None = None,
        name: str = "CosineProbe",
    ):
        super().__init__(pretext, normalisation=normalisation)
        self.embed, self.inner_steps, self.outer, self.name = plain("embed", embed), inner_steps, outer, name
        head = CosineNetwork(nn.Identity(), scale)
        self.descent = Descent(head, inner_lr=inner_lr, inner_steps=inner_steps, rule=rule, normalisation=normalisation)
        head.head.requires_grad_(False)  # each task brings its own: not part of phi

    @property
    def embedding(self) -> nn.Module:
        return self.embed

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """w (ways, features), after `steps` steps (default: `inner_steps`)."""
        steps, ways = self.inner_steps if steps is None else steps, check_ways("support.y", support)
        forward = Forward(context, source(self.normalisation, "support", context.training))
        z = call(self.embed, {}, support.x, forward)  # (1)
        w = class_means(unit(z), support.y, ways)  # (2)
        head = descend_from(w, self.descent, support.like(z, support.y), steps, context)  # (3)
        return State(head, forward.statistics, forward.values)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """(4)"""
        norms = source(self.normalisation, "query", context.training)
        forward = Forward(context, norms, -1, state.statistics if norms == "replay" else None)
        z = call(self.embed, {}, x, forward)
        return Answered(self.descent.answer(state.values, z, context).prediction, recorded(forward))
