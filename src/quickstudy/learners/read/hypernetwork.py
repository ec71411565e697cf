"""A hypernetwork: one network writes the weights of another, from the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import class_means
from quickstudy.learners.outcome import Values
from quickstudy.learners.read.parts import check_features, own_generator, seeded
from quickstudy.models.mlp import MLP


class Hypernetwork(Comparison):
    """Classify with a network whose weights a second network writes from the embeddings of the classes.

        e_k       =  1/|S_k| sum_{(x, y) in S_k} f_phi(x),            e  =  1/ways sum_k e_k            (1)
        A         =  g_phi(e),                                        hidden layer:  h(x) = relu( A f_phi(x) + a )  (2)
        w_k, b_k  =  g'_phi( [e_k, e] ),                              k = 1 .. ways                     (3)
        p(y = k | x)  =  softmax_k( w_k' [h(x), f_phi(x)] + b_k )                                       (4)

    Data become a network in one forward pass, without inner steps or a solver. A has rank `rank`, A = P diag(g(e)) R, since a
    full matrix would need a g of features x hidden outputs. One g' writes every w_k, from the embedding of its class and the
    mean over all classes: relabelling permutes the answer, and any number of classes works.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        features: number of features of f(x).
        hidden: units of the written layer (2); 0: no such layer, the written classifier is linear.
        rank: rank of A.
        width: units of the hidden layer of g and of g'.
        normalisation: "running" by default.
        generator: draws the initial weights of all but f; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1 (hidden: below 0).
        ShapeError: f(x) is not (examples, features).

    Source: Ha, Dai & Le, "HyperNetworks", ICLR 2017 (the idea); Qiao, Liu, Shen & Yuille, "Few-Shot Image Recognition by
    Predicting Parameters from Activations", CVPR 2018, eq. 2-3: (3) and (4) with hidden=0 and without e.

    Examples:
        >>> learner = qs.Hypernetwork(qs.models.mlp(4, 8), features=8, hidden=16)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4).test.sample(1)[0]
        >>> learner.adapt(task.support).state.values["w"].shape  # (ways, hidden + features)
        torch.Size([3, 24])
    """

    def __init__(
        self,
        embed: nn.Module,
        features: PositiveInt,
        *,
        hidden: int = 64,
        rank: PositiveInt = 32,
        width: PositiveInt = 128,
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(plain("embed", embed), normalisation=normalisation)
        if hidden < 0:
            raise ArgumentError("hidden", expected="0 or more", got=str(hidden), do="0 is a linear classifier.")
        generator = own_generator(self, generator)
        self.features, self.hidden, self.rank = features, hidden, rank
        if hidden:
            self.R = seeded(lambda: nn.Linear(features, rank, bias=False), generator)
            self.P = seeded(lambda: nn.Linear(rank, hidden), generator)  # its bias is a
            self.g = seeded(lambda: MLP(features, rank, (width,)), generator)
        self.g_class = seeded(lambda: MLP(2 * features, features + hidden + 1, (width,)), generator)  # g'

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """The written weights: w (ways, hidden + features), b (ways,) and, with a hidden layer, g(e) (rank,)."""
        e_k = class_means(check_features(z, self.features), y, ways)  # (1)
        e = e_k.mean(0)
        written = self.g_class(torch.cat([e_k, e.expand(ways, -1)], 1))  # (3)
        state = {"w": written[:, :-1], "b": written[:, -1]}
        return {**state, "scale": self.g(e[None])[0]} if self.hidden else state  # (2)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        if self.hidden:
            h = torch.relu(self.P(self.R(z) * state["scale"]))  # (2)
            z = torch.cat([h, z], 1)
        return z @ state["w"].T + state["b"]  # (4)
