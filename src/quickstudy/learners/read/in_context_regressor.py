"""In-context transformer for values: the support is read once, and every query is answered by attending to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Examples
from quickstudy.errors import LabelError, ShapeError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Values
from quickstudy.learners.read.parts import check_features, own_generator
from quickstudy.learners.read.transformer import Norm, Transformer, weight, zeros


@checked
class InContextRegressor(Learner):
    """`InContext` for targets: a transformer reads support and queries in one pass, and answers with numbers.

        s_i   =  f(x_i) A + a + y_i E,                q  =  f(x) A + a                                         (1)
        S_l+1 =  block_l(S_l, S_l),                   q_l+1 = block_l(q_l, S_l),              l = 0 .. depth-1   (2)
        y(x)  =  norm(q_depth) W + w                                                                           (3)

    The blocks are those of `InContext`. The loss is the squared error. Give x and y of about unit size.

    Args:
        embed: f, (examples, *feature) -> (examples, features); None: the raw values, flattened.
        features: number of features of f(x).
        targets: number of columns of y (examples, targets).

    Other Args:
        width, depth, heads: sizes of the transformer.
        transformer: one that other learners share, in place of a new one of these sizes.
        normalisation: of f.
        generator: draws the initial weights of the transformer; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; a width that the heads do not divide.
        LabelError: class labels.
        ShapeError: f(x) is not (examples, features); y is not (examples, targets).

    Source: Müller, Hollmann, Pineda Arango, Grabocka & Hutter, "Transformers Can Do Bayesian Inference", ICLR 2022. Differs: the
    answer is the mean under a squared error, and no histogram over bins.

    Examples:
        >>> from quickstudy.learners.read import InContextRegressor
        >>> learner = InContextRegressor(features=1, width=16, depth=2)
        >>> task = qs.tasks.Sinusoid(shots=5).test.sample(1)[0]
        >>> learner.adapt(task.support)(task.query.x).shape
        torch.Size([10, 1])
    """

    def __init__(
        self,
        embed: nn.Module | None = None,
        *,
        features: PositiveInt,
        targets: PositiveInt = 1,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        transformer: Transformer | None = None,
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(normalisation=normalisation)
        self.embed = plain("embed", nn.Flatten() if embed is None else embed)
        generator = own_generator(self, generator)
        width = width if transformer is None else transformer.width
        self.features, self.targets = features, targets
        self.A, self.a = weight(features, width, generator), zeros(width)
        self.E = weight(targets, width, generator, scale=targets**0.5)  # rows of variance 1, as the values have
        self.blocks = Transformer(width, depth, heads, generator) if transformer is None else transformer
        self.norm = Norm(width)
        self.W, self.w = weight(width, targets, generator), zeros(targets)

    def learn(self, support: Examples) -> Values:
        """Keys and values (depth, heads, support, d)."""
        keys, values = self.blocks.read(self._tokens(support.x) + self._targets(support.y) @ self.E)  # (1), (2)
        return {"keys": keys, "values": values}

    def predict(self, values: Values, x: Any) -> Tensor:
        """y (examples, targets)."""
        return self.norm(self.blocks.ask(self._tokens(x), values["keys"], values["values"])) @ self.W + self.w  # (2), (3)

    def _tokens(self, x: Any) -> Tensor:
        return check_features(apply(self.embed, x), self.features) @ self.A + self.a

    def _targets(self, y: Tensor) -> Tensor:
        if not y.is_floating_point():
            raise LabelError(
                "support.y", expected="targets, floating-point numbers", got="class labels", do="For classes take InContext."
            )
        if y.ndim != 2 or y.shape[1] != self.targets:
            raise ShapeError(
                "y",
                expected=f"(examples, targets={self.targets})",
                got=str(tuple(y.shape)),
                do="Give one row of targets for each example, y[:, None] for a single one.",
            )
        return y
