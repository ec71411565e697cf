"""GeneratedHead: descent from a linear classifier whose weights a network makes of the support."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from quickstudy.errors import ShapeError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.descend.support_head import HeadedNetwork, Means, SupportHead
from quickstudy.learners.learner import Loss
from quickstudy.randomness import seeded


class GeneratedHead(SupportHead):
    """Gradient descent from a classifier whose weights are generated from the support, for any number of classes.

        (w_k, b_k)  =  1/|S_k| sum_{(x, y) in S_k} g( f(x) )                                       g: a perceptron        (1)
        theta_0     =  ( what adapts of f,  h,  w,  b )                                            h: a perceptron        (2)
        theta_K     =  K steps of descent on  L( w h(f(x)) + b )  over the support                                        (3)
        p(y = k|x)  =  softmax_k( w_k' h(f(x)) + b_k )     at theta_K                                                     (4)

    What of f does not adapt is shared by all tasks and learned by the outer loop alone, as g is. Where `PrototypeHead` sets the
    head by the class means, g is learned, and the classes' weights need not lie where their embeddings do.

    Args:
        embed: f, (examples, *feature) -> (examples, features), or (examples, length, features) for labels of tokens.
        features: of the embedding.
        width: of the hidden layers of g and h, and of what h gives: w is (ways, width).
        adapts: globs over the parameters of f that adapt, such as "head.*"; () for none. h, w and b always do.
        inner_lr: step size; `LearnedRates(..., per="tensor", per_step=True)`, the default, has one for each layer and step.
        inner_steps: K.
        hypergradient: `Unrolled()` or `FirstOrder()`, which drops the second derivatives and keeps the path through (1).
        normalisation: see `Learner`.

    Other Args:
        loss, rule, clip, name: as in `Descent`.
        seed: of the initial weights of g and h.

    Raises:
        ArgumentError: `adapts` matches no parameter of f.
        UnsupportedError: a hypergradient that sees only the last state, since it takes theta_0 to be phi.
        ShapeError: an embedding that does not give `features` features.

    Source: Bansal, Jha & McCallum, "Learning to Few-Shot Learn Across Diverse Natural Language Classification Tasks", COLING
    2020, section 3 (LEOPARD).

    Examples:
        >>> from quickstudy.learners.descend import GeneratedHead
        >>> learner = GeneratedHead(qs.models.mlp(4, 8), features=8, width=16, adapts="head.*", inner_steps=2)
        >>> for ways in (2, 4):
        ...     task = qs.tasks.GaussianClasses(ways=ways, dim=4).test.sample(1)[0]
        ...     print(tuple(learner.adapt(task.support).state.values["theta"]["w"].shape))
        (2, 16)
        (4, 16)
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        features: PositiveInt,
        width: PositiveInt = 64,
        adapts: str | Sequence[str] = "*",
        inner_lr: NonNegativeFloat | LearnedRates = LearnedRates(0.01, per="tensor", per_step=True),
        inner_steps: NonNegativeInt = 5,
        hypergradient: Hypergradient = Unrolled(),
        loss: Loss | None = None,
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        clip: PositiveFloat | None = None,
        seed: int = 0,
        name: str = "GeneratedHead",
    ):
        like = next(embed.parameters(), None)
        with seeded(seed):
            generator, project = _perceptron(features, width, width + 1, False), _perceptron(features, width, width)
        if like is not None:
            generator, project = generator.to(like), project.to(like)
        patterns = [adapts] if isinstance(adapts, str) else list(adapts)
        super().__init__(
            HeadedNetwork(plain("embed", embed), project),
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            hypergradient=hypergradient,
            loss=loss,
            adapts=[*(f"embed.{pattern}" for pattern in patterns), "project.*", "w", "b"],
            normalisation=normalisation,
            rule=rule,
            clip=clip,
            name=name,
        )
        self.features, self.generator = features, generator

    def head(self, z: Tensor, means: Means) -> tuple[Tensor, Tensor]:
        """(1)"""
        if z.shape[-1] != self.features:
            raise ShapeError(
                "embed",
                expected=f"features={self.features} of each example",
                got=str(tuple(z.shape)),
                do="Give `features` as the embedding has them.",
            )
        made = means(self.generator(z))
        return made[:, :-1], made[:, -1]


def _perceptron(inputs: int, width: int, outputs: int, bias: bool = True) -> nn.Sequential:
    """Of one hidden layer. A last bias of g would move the logits of all classes alike."""
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs, bias=bias))
