"""Learned weights of examples: which of the training data to trust."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveInt, checked
from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, LabelError, ShapeError, TaskError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Normalisation
from quickstudy.forward.derivatives import gradient_of
from quickstudy.learners.bilevel.learned_training import LearnedTraining, TrainingState
from quickstudy.learners.bilevel.parts import ExampleWeights, logit
from quickstudy.random import Seed, stateless_order


@checked
class MetaWeightNet(ExampleWeights):
    """A small network weights each example by its loss and, optionally, its class.

        theta_{t+1}  =  theta_t - a 1/n sum_i V(l_i(theta_t), y_i; phi) dl_i/dtheta                              (1)
        phi          <- phi - b d/dphi  L_clean(theta_{t+1})                                                     (2)
        V(l, y)      =  sigmoid( v' relu( u l + b + E_y ) + c )                E_y = 0 at first; without `classes` always

    (1) is a step of `LearnedTraining(weights=MetaWeightNet())`, (2) one of the outer loop with the estimator `Lookahead()` and
    a small clean set as the stream's `outer`; (1) is then taken again with the new phi. A decreasing V distrusts examples with a
    large loss, which suits noisy labels; an increasing one emphasises them, which suits rare classes.

    Args:
        hidden: units of V, 1 - hidden - 1 with a sigmoid at its end; 100 in the paper.
        normalised: whether weights sum to 1 over the batch, V_i / sum_j V_j, instead of V_i / n.
        classes: the largest number of classes in a task, each with its own row E_y. Use it for classes of different sizes, which
            the losses do not distinguish once all examples fit. 0: V sees the loss alone, as in the paper.

    Raises:
        ArgumentError: hidden below 1; classes below 0.
        LabelError: a task with more than `classes` classes, or with targets.

    Source: Shu et al., "Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting", NeurIPS 2019, eq. 3-5 and
    algorithm 1. That V knows the class is the idea of Shu et al., "CMW-Net", TPAMI 2023; they give it the class's size.

    Examples:
        >>> from quickstudy.learners.bilevel import MetaWeightNet
        >>> weights = MetaWeightNet(hidden=16, normalised=True)
        >>> losses, batch = torch.rand(6), qs.Examples(torch.randn(6, 4), torch.arange(6) % 3)
        >>> round(weights(losses, batch).sum().item(), 3)
        1.0
        >>> learner = qs.LearnedTraining(qs.models.mlp(4, 3), weights=weights, steps=10)
    """

    def __init__(self, hidden: int = 100, *, normalised: bool = False, classes: int = 0):
        super().__init__()
        if hidden < 1:
            raise ArgumentError("hidden", expected="1 or more", got=str(hidden), do="The paper has 100.")
        if classes < 0:
            raise ArgumentError("classes", expected="0 or more", got=str(classes), do="0 weighs by the loss alone.")
        self.hidden, self.normalised, self.classes = hidden, normalised, classes
        if classes:
            self.E = nn.Parameter(torch.zeros(classes, hidden))
        self.net = nn.Sequential(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())

    def forward(self, losses: Tensor, batch: Examples) -> Tensor:
        """V / n (examples,), or V over its sum."""
        if self.classes and not 0 < (batch.ways or 0) <= self.classes:
            raise LabelError(
                "support.y",
                expected=f"labels of at most {self.classes} classes, for MetaWeightNet(classes={self.classes})",
                got="targets that are no labels" if batch.ways is None else f"labels of {batch.ways}",
                do="Give MetaWeightNet the most classes of a task, or classes=0.",
            )
        v = self.value(losses, batch.y)
        return v / v.sum() if self.normalised else v / max(len(v), 1)

    def value(self, losses: Tensor, y: Tensor | None = None) -> Tensor:
        """V(l, y) of losses and labels (examples,)."""
        h = self.net[0](losses[:, None])
        return self.net[1:](h + self.E[y] if self.classes else h)[:, 0]


@checked
class WeightPerExample(ExampleWeights):
    """A learned weight for every training example,  w_i = sigmoid(phi_i) / n.

    Use it in runs that see the whole training set at every step, in one order (`batch_size=None`). After meta-training
    `torch.sigmoid(part.logit)` ranks the examples.

    Args:
        n: the number of training examples.
        initial: the initial weight of all examples, between 0 and 1, in units of 1/n.

    Raises:
        ArgumentError: n below 1; an initial weight out of range.
        ShapeError: a batch that does not have n examples.

    Source: Franceschi et al., "Forward and Reverse Gradient-Based Hyperparameter Optimization", ICML 2017, section 5.1, data
    hyper-cleaning. Departure: a sigmoid in the place of their projection onto the simplex-like set.

    Examples:
        >>> from quickstudy.learners.bilevel import WeightPerExample
        >>> learner = qs.LearnedTraining(torch.nn.Linear(4, 3), weights=WeightPerExample(12), steps=5)
        >>> torch.sigmoid(learner.weigh.logit.detach())[:3]  # the trust in the first examples, before meta-training
        tensor([0.5000, 0.5000, 0.5000])
    """

    order_invariant = False

    def __init__(self, n: int, *, initial: float = 0.5):
        super().__init__()
        if n < 1:
            raise ArgumentError("n", expected="1 or more", got=str(n), do="Give the number of training examples.")
        if not 0 < initial < 1:
            raise ArgumentError("initial", expected="between 0 and 1", got=str(initial), do="Try 0.5.")
        self.n, self.initial = n, initial
        self.logit = nn.Parameter(logit(initial).expand(n).clone())

    def forward(self, losses: Tensor, batch: Examples) -> Tensor:
        """The weights w (examples,)."""
        if len(losses) != self.n:
            raise ShapeError(
                "WeightPerExample(n)",
                expected=f"a batch of {self.n} examples, all of them in their order",
                got=f"{len(losses)}",
                do="Use batch_size=None and one training set; MetaWeightNet() serves batches.",
            )
        return self.logit.sigmoid() / self.n


class LearningToReweight(LearnedTraining):
    """Weight each example by how much its gradient would lower the loss of a few trusted ones; nothing is meta-trained.

        theta^(e)    =  theta_t - a sum_i e_i dl_i/dtheta                                                        (1)
        u_i          =  - d/de_i  L_trusted(theta^(e))  at  e = 0                                                (2)
        w_i          =  max(u_i, 0)  /  ( sum_j max(u_j, 0) + [that sum is 0] )                                  (3)
        theta_{t+1}  =  theta_t - a sum_i w_i dl_i/dtheta                                                        (4)

    The last `trusted` examples of the support are the trusted ones: (2) uses them, the others are weighted. By the chain rule
    u_i = a <dl_i/dtheta, dL_trusted/dtheta>, which is 0 for a gradient orthogonal to theirs and clipped to 0 for one opposed to
    it. It is an ordinary learner: `adapt(support)` trains a student. One example may take nearly all of the weight, so use a
    lower `inner_lr` than for a plain student.

    Args:
        network: the student.
        trusted: how many examples at the end of the support are trusted.
        steps: length of a run.
        inner_lr: a.
        batch_size: number of weighted examples in one step, drawn from the others; None: all.
        trusted_batch_size: trusted ones in one step; None: all.
        normalisation: see `TrainingRun`.

    Raises:
        ArgumentError: trusted or trusted_batch_size below 1.
        TaskError: a support with no examples besides the trusted ones.

    Source: Ren, Zeng, Yang & Urtasun, "Learning to Reweight Examples for Robust Deep Learning", ICML 2018, eq. 4-9 and
    algorithm 1 (the online approximation).

    Examples:
        >>> from quickstudy.learners.bilevel import LearningToReweight
        >>> learner = LearningToReweight(torch.nn.Linear(4, 3), trusted=3, steps=5)
        >>> support = qs.Examples(torch.randn(12, 4), torch.arange(12) % 3)  # its last 3 examples are trusted
        >>> learner.adapt(support)(torch.randn(5, 4)).shape
        torch.Size([5, 3])
    """

    order_invariant = False  # the trusted examples come last
    meta_learns = False

    def __init__(
        self,
        network: nn.Module,
        *,
        trusted: PositiveInt,
        steps: int = 100,
        inner_lr: NonNegativeFloat = 0.1,
        batch_size: PositiveInt | None = None,
        trusted_batch_size: PositiveInt | None = None,
        normalisation: Normalisation = "support",
    ):
        for name, size in (("trusted", trusted), ("trusted_batch_size", trusted_batch_size)):
            if size is not None and size < 1:
                raise ArgumentError(name, expected="1 or more", got=str(size), do="Put trusted examples last in the support.")
        super().__init__(network, steps=steps, inner_lr=inner_lr, batch_size=batch_size, normalisation=normalisation)
        self.trusted, self.trusted_batch_size = trusted, trusted_batch_size

    def inner_gradient(self, state: TrainingState, batch: Examples) -> Parameters:
        """(4)"""
        weighed, trusted = self.parts(batch)
        _, pull = self.losses(state, weighed)
        return pull(self.example_weights(state, weighed, trusted))

    def example_weights(self, state: TrainingState, weighed: Examples, trusted: Examples) -> Tensor:
        """(1) to (3): w (examples,) of the weighted examples."""
        theta = state["theta"]
        a = self.rate(state["t"], theta)

        def ahead(at: Parameters) -> tuple[Tensor, tuple[()]]:
            g = self.losses(state, weighed)[1](at["e"])
            moved = {name: p - a[name] * g[name] for name, p in theta.items()}  # (1)
            return trusted.target.loss(self.predict({"theta": moved}, trusted.x), trusted.y), ()

        e = next(iter(theta.values())).new_zeros(len(weighed))
        u = -gradient_of(ahead, {"e": e})[0]["e"]  # (2)
        positive = u.clamp(min=0)
        total = positive.sum()
        return positive / (total + (total == 0).to(total.dtype))  # (3)

    def parts(self, batch: Examples) -> tuple[Examples, Examples]:
        """(the weighted examples, the trusted ones)."""
        k = min(self.trusted_batch_size or self.trusted, self.trusted)
        return batch.map(lambda leaf: leaf[:-k]), batch.map(lambda leaf: leaf[-k:])

    def minibatch(self, support: Examples, seed: Seed, step: int) -> Examples:
        """Some of the others, then some of the trusted ones."""
        n = len(support) - self.trusted
        if n < 1:
            raise TaskError(
                "support",
                expected=f"examples beyond the {self.trusted} trusted ones at its end",
                got=f"{len(support)} examples",
                do="Put the examples to be weighed before the trusted ones, or lower `trusted`.",
            )
        device = support.y.device
        others = stateless_order(seed, n, stream=2 * step, device=device)[: self.batch_size or n]
        trusted_rows = stateless_order(seed, self.trusted, stream=2 * step + 1, device=device)[
            : self.trusted_batch_size or self.trusted
        ]
        return support.map(lambda leaf: leaf[torch.cat([others, n + trusted_rows])])
