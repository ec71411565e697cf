"""Neural processes: a set of points in, a distribution over functions out."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from quickstudy.arguments import PositiveInt, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import class_means
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome, Values
from quickstudy.learners.read.parts import check_features, own_generator, seeded
from quickstudy.learners.read.transformer import attention
from quickstudy.models.mlp import MLP


class NeuralProcess(Learner):
    """Regress from a summary of the support, with a standard deviation for each answer.

        r_i     =  h_phi( [x_i, y_i] ),        i = 1 .. n                                     (1)
        r(x)    =  1/n sum_i r_i                                    conditional: `MeanPooling`  (2)
                or heads( x; x_1..n, r_1..n )                       attentive: `CrossAttention` (3)
        m, s    =  g_phi( [x, r(x)] )                                                         (4)
        p(y | x, S)  =  N( m, sigma^2 ),       sigma = least_std + (1 - least_std) softplus(s)  (5)
        loss    =  - mean over queries and targets of  log p(y | x, S)                        (6)

    `predict` gives m. `learner.distribution(values, x)` gives all of (5); with a predictor:

        answer = predictor.learner.distribution(predictor.state.values, x);    answer.mean, answer.stddev

    A criterion passed to `meta_train` or `loss` replaces (6) and sees m alone. Queries are independent given S: (6) is the exact
    likelihood of each, and no latent variable ties them together.

    Args:
        inputs: number of features of x, (examples, *feature) flattened.
        targets: number of columns of y (examples, targets).
        pooling: None for (2), `MeanPooling()`; or `CrossAttention(inputs, width)` for (3).

    Other Args:
        width: of r and of every hidden layer: h and g have three.
        least_std: the smallest sigma. Differs from the papers' code, where it is 0.1: tasks may be less noisy than that.
        generator: draws the initial weights; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1; least_std outside (0, 1); a pooling of another width.
        LabelError: class labels.
        ShapeError: x or y with another number of features.

    Source: Garnelo et al., "Conditional Neural Processes", ICML 2018, eq. 2-4 and 5; (3): Kim et al., "Attentive Neural
    Processes", ICLR 2019, section 3, its deterministic path alone: without the latent one the likelihood is exact and there is
    no lower bound. Both papers score the support's own points too; here the queries are scored.

    Examples:
        >>> learner = qs.NeuralProcess(inputs=1, targets=1, width=16)
        >>> task = qs.tasks.Sinusoid(shots=5).test.sample(1)[0]
        >>> predictor = learner.adapt(task.support)
        >>> answer = learner.distribution(predictor.state.values, task.query.x)
        >>> torch.equal(answer.mean, predictor(task.query.x)), bool((answer.stddev > 0).all())
        (True, True)
    """

    def __init__(
        self,
        inputs: PositiveInt = 1,
        targets: PositiveInt = 1,
        *,
        pooling: MeanPooling | CrossAttention | None = None,
        width: PositiveInt = 128,
        least_std: float = 0.01,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        if not 0 < least_std < 1:
            raise ArgumentError("least_std", expected="a number in (0, 1)", got=str(least_std), do="0.01 is the default.")
        generator = own_generator(self, generator)
        self.inputs, self.targets, self.width, self.least_std = inputs, targets, width, least_std
        self.pooling = MeanPooling() if pooling is None else pooling
        if isinstance(pooling, CrossAttention) and (pooling.inputs, pooling.width) != (inputs, width):
            raise ArgumentError(
                "pooling",
                expected=f"CrossAttention({inputs}, {width}), as inputs= and width= say",
                got=f"CrossAttention({pooling.inputs}, {pooling.width})",
                do="Build both with the same sizes.",
            )
        hidden = (width, width, width)
        self.h = seeded(lambda: MLP(inputs + targets, width, hidden), generator)
        self.g = seeded(lambda: MLP(inputs + width, 2 * targets, hidden), generator)

    def learn(self, support: Examples) -> Values:
        """What (2) or (3) keeps of the support."""
        x, y = self._inputs(support.x), self._targets(support.y)
        return self.pooling.read(x, self.h(torch.cat([x, y], 1)))  # (1)

    def predict(self, state: Values, x: Any) -> Tensor:
        """The mean m (examples, targets)."""
        return self.distribution(state, x).mean

    def distribution(self, state: Values, x: Any) -> Normal:
        """p(y | x, S) of each query by itself; mean and stddev (examples, targets)."""
        x = self._inputs(x)
        r = self.pooling.at(state, x)  # (2) or (3)
        m, s = self.g(torch.cat([x, r], 1)).chunk(2, 1)  # (4)
        return Normal(m, self.least_std + (1 - self.least_std) * F.softplus(s), validate_args=False)  # (5)

    def log_likelihood(self, values: Values, query: Examples) -> Tensor:
        """log p(y | x, S) of each query, nats (examples, targets), from what was learned of S."""
        return self.distribution(values, query.x).log_prob(self._targets(query.y))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """(6), or the criterion of the mean."""
        if criterion is not None:
            return super().outcome(episode, context, criterion)
        state, forward = self.state(episode.support, context), Forward(context, "batch", -1)
        with forward:
            return Outcome(-self.log_likelihood(state.values, episode.query).mean(), {}, {}, ())  # (6)

    def _inputs(self, x: Any) -> Tensor:
        x = x.flatten(1)
        if x.shape[1] != self.inputs:
            raise ShapeError(
                "x",
                expected=f"examples of inputs={self.inputs} features",
                got=str(x.shape[1]),
                do="Build it with that number of inputs.",
            )
        return x

    def _targets(self, y: Tensor) -> Tensor:
        if not y.is_floating_point():
            raise LabelError(
                "support.y",
                expected="targets, floating-point numbers",
                got="class labels",
                do="For classes take NeuralProcessClassifier.",
            )
        if y.ndim != 2 or y.shape[1] != self.targets:
            raise ShapeError(
                "y",
                expected=f"(examples, targets={self.targets})",
                got=str(tuple(y.shape)),
                do="Give one row of targets for each example, y[:, None] for a single one.",
            )
        return y


class MeanPooling(nn.Module):
    """The same summary for every x: r(x) = 1/n sum_i r_i. The state is `r` (width,).

    Examples:
        >>> from quickstudy.learners.read import MeanPooling
        >>> learner = qs.NeuralProcess(pooling=MeanPooling(), width=16)  # the default pooling
        >>> learner.adapt(qs.Examples(torch.randn(5, 1), torch.randn(5, 1))).state
        State(values={'r': (16,)}, statistics of [])
    """

    def read(self, x: Tensor, r: Tensor) -> Values:
        """From x (n, inputs) and r (n, width)."""
        return {"r": r.mean(0)}  # (2) of NeuralProcess

    def at(self, state: Values, x: Tensor) -> Tensor:
        """r(x) for x (queries, inputs): (queries, width)."""
        return state["r"].expand(len(x), -1)


@checked
class CrossAttention(nn.Module):
    """A summary for each x: multi-head attention from x to the support's points.

        heads(x; x_1..n, r_1..n)  =  concat_j[ softmax_i( q(x) Q_j (q(x_i) K_j)' / sqrt d )  r_i V_j ] U          (1)

    q is a perceptron of two hidden layers that keys and queries share. If all scores are equal and V U = I, this is the mean.

    Args:
        inputs: number of features of x.
        width: size of r, a multiple of `heads`; d = width / heads.
        heads: number of heads, j = 1 .. heads.
        generator: draws the initial weights; None: one of seed 1.

    Raises:
        ArgumentError: a size below 1; a width that the heads do not divide.

    Source: Kim et al. 2019, section 3 and appendix A ("multihead attention").

    Examples:
        >>> from quickstudy.learners.read import CrossAttention
        >>> learner = qs.NeuralProcess(pooling=CrossAttention(inputs=1, width=16, heads=4), width=16)
        >>> learner.adapt(qs.Examples(torch.randn(5, 1), torch.randn(5, 1))).state
        State(values={'keys': (4, 5, 4), 'values': (4, 5, 4)}, statistics of [])
    """

    def __init__(
        self, inputs: PositiveInt = 1, width: PositiveInt = 128, heads: PositiveInt = 8, generator: torch.Generator | None = None
    ):
        super().__init__()
        if width % heads:
            raise ArgumentError("width", expected=f"a multiple of heads={heads}", got=str(width), do="128 and 8 is the papers'.")
        self.inputs, self.width, self.heads, self.generator = inputs, width, heads, None
        generator = generator or torch.Generator().manual_seed(1)
        self.q = seeded(lambda: MLP(inputs, width, (width, width)), generator)
        self.Q, self.K, self.V, self.U = (seeded(lambda: nn.Linear(width, width, bias=False), generator) for _ in range(4))

    def read(self, x: Tensor, r: Tensor) -> Values:
        """Keys and values (heads, n, d), from x (n, inputs) and r (n, width)."""
        return {"keys": self._split(self.K(self.q(x))), "values": self._split(self.V(r))}

    def at(self, state: Values, x: Tensor) -> Tensor:
        """r(x) for x (queries, inputs): (queries, width)."""
        seen = attention(self._split(self.Q(self.q(x))), state["keys"], state["values"])
        return self.U(seen.transpose(0, 1).reshape(len(x), self.width))  # (1)

    def _split(self, h: Tensor) -> Tensor:
        """(rows, width) as (heads, rows, d)."""
        return h.reshape(h.shape[0], self.heads, self.width // self.heads).transpose(0, 1)


class NeuralProcessClassifier(Comparison):
    """Classify from a summary of each class: the conditional neural process for labels.

        r_k          =  1/|S_k| sum_{(x, y) in S_k} h_phi( f_phi(x) ),        r  =  1/ways sum_k r_k       (1)
        p(y = k | x) =  softmax_k  g_phi( [ f_phi(x), r_k, r ] )                                           (2)

    Differs from the paper, where g reads the r_k of all classes in order, for a fixed number of classes, and must learn that the
    order means nothing: here g scores each class from its own r_k and the mean r, so relabelling permutes the answer and any
    number of classes works.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        features: number of features of f(x).
        width: size of r_k and of the hidden layers: h has one, g two.
        normalisation: "running" by default.
        generator: draws the initial weights of h and g; None: one of seed 0.

    Raises:
        ArgumentError: a size below 1.
        ShapeError: f(x) is not (examples, features).

    Source: Garnelo et al., "Conditional Neural Processes", ICML 2018, section 4.3.

    Examples:
        >>> learner = qs.NeuralProcessClassifier(qs.models.mlp(4, 8), features=8, width=16)
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4).test
        >>> learner.adapt(tasks.sample(1)[0].support).state
        State(values={'r': (3, 16)}, statistics of [])
        >>> learner.adapt(tasks.with_(ways=4).sample(1)[0].support).state  # any number of classes
        State(values={'r': (4, 16)}, statistics of [])
    """

    def __init__(
        self,
        embed: nn.Module,
        features: PositiveInt,
        *,
        width: PositiveInt = 128,
        normalisation: Normalisation = "running",
        generator: torch.Generator | None = None,
    ):
        super().__init__(plain("embed", embed), normalisation=normalisation)
        generator = own_generator(self, generator)
        self.features, self.width = features, width
        self.h = seeded(lambda: MLP(features, width, (width,)), generator)
        self.g = seeded(lambda: MLP(features + 2 * width, 1, (width, width)), generator)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """r_k (ways, width)."""
        return {"r": class_means(self.h(check_features(z, self.features)), y, ways)}  # (1)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        r_k = state["r"]
        ways, queries = len(r_k), len(z)
        of_class = torch.cat([r_k, r_k.mean(0).expand(ways, -1)], 1)
        pairs = torch.cat([z[:, None].expand(-1, ways, -1), of_class.expand(queries, -1, -1)], 2)
        return self.g(pairs.flatten(0, 1)).reshape(queries, ways)  # (2)
