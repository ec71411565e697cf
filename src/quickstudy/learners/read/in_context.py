"""In-context transformer: the support is read once, and every query is answered by attending to it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import one_hot
from quickstudy.learners.read.parts import check_features, check_max_ways, own_generator
from quickstudy.learners.read.transformer import Norm, Transformer, weight, zeros


class InContext(Comparison):
    """A transformer that reads support and queries in one pass: its weights are phi, and only its activations adapt.

        s_i   =  f(x_i) A + a + E_{y_i},              q  =  f(x) A + a                                         (1)
        S_0   =  the rows s_1 .. s_n,                 q_0 = q
        S_l+1 =  block_l(S_l, S_l),                   q_l+1 = block_l(q_l, S_l),              l = 0 .. depth-1   (2)
        block(h, S):   h <- h + heads(norm h, norm S);     h <- h + gelu(norm(h) B + b) C + c                  (3)
        heads(h, S) =  concat_j[ softmax(h Q_j (S K_j)' / sqrt d) S V_j ] U                                    (4)
        p(y = k | x)  =  softmax_{k < ways}( norm(q_depth) W + w )_k                                           (5)

    A support token is its value plus its label. A query has no label and is never a key: it attends to the support only, so no
    query sees another. There are no positions, so the order of the support does not matter. The state is what queries attend
    to, K and V of every layer, and the columns of W for the task's classes: learning costs n^2, a query n.

    E and W, which are free parameters, distinguish the classes: only tasks with randomly numbered classes, as every sampler here
    draws them, teach that the numbers mean nothing. So relabelling permutes the answer only roughly, after much training, and
    not by construction (`label_equivariant` is False).

    Args:
        embed: f, (examples, *feature) -> (examples, features), for images; None: the raw values, flattened.
        features: number of features of f(x).
        max_ways: the largest number of classes in a task; W and E have that many entries.

    Other Args:
        width, depth, heads: sizes of the transformer; d = width / heads.
        transformer: one that other learners share, in place of a new one of these sizes.
        normalisation: of f, "running" by default as for the learners that compare; the transformer has no batch norm.
        generator: draws the initial weights of the transformer; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; a width that the heads do not divide.
        LabelError: more classes than max_ways.
        ShapeError: f(x) is not (examples, features).

    Source: Müller, Hollmann, Pineda Arango, Grabocka & Hutter, "Transformers Can Do Bayesian Inference", ICLR 2022: (1), (2) and
    the mask; Vaswani et al., 2017: (4); Xiong et al., 2020: the norms come before, not after, attention and perceptron.

    Examples:
        >>> learner = qs.InContext(features=4, max_ways=5, width=16, depth=2)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> predictor = learner.adapt(task.support)
        >>> predictor.state.values["keys"].shape, predictor(task.query.x).shape
        (torch.Size([2, 4, 3, 4]), torch.Size([30, 3]))
    """

    label_equivariant = False

    def __init__(
        self,
        embed: nn.Module | None = None,
        *,
        features: PositiveInt,
        max_ways: PositiveInt = 10,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        transformer: Transformer | None = None,
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(nn.Flatten() if embed is None else embed, normalisation=normalisation)
        generator = own_generator(self, generator)
        width = width if transformer is None else transformer.width
        self.features, self.max_ways = features, max_ways
        self.A, self.a = weight(features, width, generator), zeros(width)
        self.E = weight(max_ways, width, generator, scale=math.sqrt(max_ways))  # rows of variance 1, as the values have
        self.blocks = Transformer(width, depth, heads, generator) if transformer is None else transformer
        self.norm = Norm(width)
        self.W, self.w = weight(width, max_ways, generator), zeros(max_ways)

    def read(self, z: Tensor, y: Tensor, ways: int) -> dict[str, Tensor]:
        """Keys and values (depth, heads, support, d); weights (width, ways) and bias (ways,) of the task's classes."""
        check_max_ways(ways, self.max_ways)
        s = self._tokens(z) + one_hot(y, self.max_ways, z) @ self.E  # (1)
        keys, values = self.blocks.read(s)  # (2)
        return {"keys": keys, "values": values, "weight": self.W[:, :ways], "bias": self.w[:ways]}

    def compare(self, values: dict[str, Tensor], z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        q = self._tokens(z)  # (1)
        q = self.blocks.ask(q, values["keys"], values["values"])  # (2)
        return self.norm(q) @ values["weight"] + values["bias"]  # (5)

    def _tokens(self, z: Tensor) -> Tensor:
        return check_features(z, self.features) @ self.A + self.a
