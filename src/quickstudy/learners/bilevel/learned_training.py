"""Training with learned parts: update rule, loss, example weights, augmentation, hyperparameters, start.

    x~         =  augmentation(x; phi)                                                                      (1)
    l_i        =  loss( f_theta(x~_i), y_i; phi )                f with dropout of rates phi                (2)
    g_t        =  sum_i w_i(l; phi) dl_i/dtheta  +  lambda(phi) theta_t                                     (3)
    theta_{t+1}, s_{t+1}  =  rule( theta_t, g_t, s_t; phi )      theta_0 = phi, or drawn                    (4)

Each part has its own page; without it the step is plain: x~ = x, cross-entropy or squared error, w_i = 1/n, lambda = 0, gradient
descent. Several parts together form one phi.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveInt
from quickstudy.episode import Examples
from quickstudy.errors import NotFiniteError, UnsupportedError
from quickstudy.forward.call import Parameters, call, plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.derivatives import pullback, stop
from quickstudy.forward.mode import Forward
from quickstudy.learners.bilevel.hyperparameters import ConcreteDropout, Decays, Schedule, WeightDecay
from quickstudy.learners.bilevel.parts import ExampleLoss, ExampleWeights, UpdateRule
from quickstudy.learners.bilevel.training_run import TrainingRun, hidden
from quickstudy.learners.descend.rates import LearnedRates, Rates
from quickstudy.learners.descend.rule import SGD, InnerRule
from quickstudy.learners.outcome import State
from quickstudy.random import Seed, stateless_seed
from quickstudy.targets import Labels, Values, check_fit

if TYPE_CHECKING:
    from quickstudy.learners.bilevel.augmentation_policy import AugmentationPolicy
    from quickstudy.meta.outer.outer import Gradient

TrainingState = dict[str, Any]  # theta; the rule's state; t, steps taken; seed, of the run's random draws


class LearnedTraining(TrainingRun):
    """Train a student, with parts of its training learned.

    Args:
        network: the student, an unmodified nn.Module; its weights are not part of phi unless `learned_start`.
        steps: inner steps of a run.
        rule: `LSTMRule()`, `MLPRule()`, `LearnedMomentum()`, or one that is not learned: `SGD()`, `Momentum()`, `Adam()`.
        inner_lr: the step size of a rule that is not learned: a number, `LearnedRates(...)` or `Schedule(...)`.
        weights: weights of the examples: `MetaWeightNet()`, `WeightPerExample(n)`; None: 1/n each.
        augmentation: `AugmentationPolicy()`; None: none.
        loss: `LearnedLoss()`, `LabelSmoothing()`; None: cross-entropy for integer labels, mean squared error for targets. The
            outer loss is always the plain one.
        decay: weight decays: a number, or learned, `WeightDecay(...)`.
        dropout: `ConcreteDropout(...)`, learned rates for the student's `nn.Dropout` layers; None: their own rates.
        learned_start: whether theta_0 is part of phi, starting at the network's weights; otherwise each run draws its own.

    Other Args:
        batch_size: support examples in one inner step on an episode; None: all.
        normalisation: a student with batch norm needs "transductive".
        outer: the outer method that `meta_train` uses unless it is given one.

    Raises:
        ArgumentError: steps below 0; a batch_size below 1.
        UnsupportedError: a student with batch norm; a rule that takes gradients as constants (`keep_gradients=False`) together
            with another learned part that acts through them; `LearnedRates(per_step=True)`.

    Examples:
        >>> from quickstudy.learners.bilevel import LearnedLoss, LearnedMomentum
        >>> learner = qs.LearnedTraining(torch.nn.Linear(4, 3), rule=LearnedMomentum(), loss=LearnedLoss(), steps=3)
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10)
        >>> result = qs.meta_train(learner, tasks.train, steps=2, tasks_per_step=2, executor="loop", progress=False)
        >>> task = tasks.test.sample(1)[0]
        >>> learner.adapt(task.support)(task.query.x).shape  # trains a new student
        torch.Size([30, 3])
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        steps: int = 100,
        rule: UpdateRule | InnerRule = SGD(),
        inner_lr: float | LearnedRates | Schedule = 0.1,
        weights: ExampleWeights | None = None,
        augmentation: AugmentationPolicy | None = None,
        loss: ExampleLoss | None = None,
        decay: NonNegativeFloat | WeightDecay = 0.0,
        dropout: ConcreteDropout | None = None,
        learned_start: bool = False,
        batch_size: PositiveInt | None = None,
        normalisation: Normalisation = "support",
        outer: Gradient | None = None,
    ):
        super().__init__(steps=steps, batch_size=batch_size, normalisation=normalisation)
        self.student, self.outer = hidden(network, normalisation), outer
        self.learned_start = learned_start
        if learned_start:
            self.network = copy.deepcopy(plain("network", network)).requires_grad_(True)
        theta: Parameters = dict(self.student.module.named_parameters())
        self.rule, self.weigh, self.augmentation, self.loss_part, self.dropout = rule, weights, augmentation, loss, dropout
        if isinstance(inner_lr, LearnedRates) and inner_lr.per_step:
            raise UnsupportedError(
                "inner_lr",
                expected="rates that are the same at every step: the steps of a training run have no end",
                got="LearnedRates(per_step=True)",
                do="Use Schedule(...).",
            )
        self.rates = inner_lr if isinstance(inner_lr, Schedule) else Rates(inner_lr, theta)
        self.decays = Decays(decay, theta) if isinstance(decay, WeightDecay) or decay else None
        if dropout is not None:
            dropout.check(self.student.module)
        self.detaches = isinstance(rule, UpdateRule) and not rule.keep_gradients
        _check(self)

    # ---- a training run ----

    def init(self, task: Examples | None, seed: Seed) -> TrainingState:
        """The state before the first step."""
        theta: Parameters = dict(self.network.named_parameters()) if self.learned_start else self.initial(seed)
        device = next(iter(theta.values())).device
        count = torch.zeros((), dtype=torch.int64, device=device)
        return {"theta": theta, "rule": self.rule.init(theta), "t": count, "seed": torch.as_tensor(seed, device=device)}

    def step(self, state: TrainingState, batch: Examples) -> TrainingState:
        """(1) to (4)"""
        theta = state["theta"]
        if self.detaches:
            with torch.no_grad():
                g = stop(self.inner_gradient(stop(state), batch))
        else:
            g = self.inner_gradient(state, batch)
        if isinstance(self.rule, UpdateRule):
            theta, s = self.rule(theta, g, state["rule"])  # (4)
        else:
            theta, s = self.rule.update(theta, g, state["rule"], self.rate(state["t"], theta))
        return {**state, "theta": theta, "rule": s, "t": state["t"] + 1}

    def predict(self, state: TrainingState, x: Any) -> Tensor:
        """f_theta(x), without dropout."""
        return call(self.student.module, state["theta"], x, Forward(Context()))

    # ---- its step ----

    def inner_gradient(self, state: TrainingState, batch: Examples) -> Parameters:
        """(3). The weights are constants to the student's derivative, and functions of phi to the outer one."""
        losses, pull = self.losses(state, batch)
        w = torch.full_like(losses, 1 / max(len(losses), 1)) if self.weigh is None else self.weigh(losses, batch)
        g = pull(w)
        return g if self.decays is None else self.decays(g, state["theta"])

    def losses(self, state: TrainingState, batch: Examples) -> tuple[Any, ...]:
        """(2): l (examples,), and the function w -> sum_i w_i dl_i/dtheta."""
        x = batch.x
        if self.augmentation is not None:
            x = self.augmentation(x, stateless_seed(state["seed"], 1) + state["t"])  # (1)

        def each(theta: Parameters) -> Tensor:
            prediction = call(self.student.module, theta, x, self._forward(state))
            return self.each(prediction, batch)

        return pullback(each, state["theta"])

    def each(self, prediction: Tensor, batch: Examples) -> Tensor:
        """The inner loss of every example (examples,)."""
        check_fit(batch.target, prediction, batch.y)
        if self.loss_part is None:
            return batch.target.each(prediction, batch.y)
        if not isinstance(batch.target, Labels | Values):
            raise UnsupportedError(
                "loss", expected="labels or values, which a learned loss reads", got=repr(batch.target), do="Leave `loss` out."
            )
        return self.loss_part.each(prediction, batch.y)

    def rate(self, t: Tensor, theta: Parameters) -> Parameters:
        """The step size of every tensor at step t."""
        return dict.fromkeys(theta, self.rates(t)) if isinstance(self.rates, Schedule) else self.rates()

    def _forward(self, state: TrainingState) -> Forward:
        # A student is trained with its dropout on, in `adapt` as in meta-training, and answers with it off.
        forward = Forward(Context(True, stateless_seed(state["seed"], 2)), "batch", state["t"])
        return forward if self.dropout is None else self.dropout.over(forward)

    # ---- what it declares ----

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        """False if the rule takes gradients as constants, or the augmentation is `hard`."""
        return not self.detaches and (self.augmentation is None or not self.augmentation.hard)

    @property
    def order_invariant(self) -> bool:  # type: ignore[override]
        """False if a random draw or an example weight depends on the example's position."""
        drops = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in self.student.module.modules())
        drawn = self.batch_size is not None or self.augmentation is not None or drops
        return not drawn and (self.weigh is None or self.weigh.order_invariant)

    def adapted(self, state: State) -> Parameters | None:
        """With a learned start the student's weights by their names in phi; otherwise None."""
        return {f"network.{name}": value for name, value in state.values["theta"].items()} if self.learned_start else None

    def divergence(self, support: Examples) -> NotFiniteError:
        """The error that names the inner step at which the training diverged."""
        with torch.no_grad():
            state = self.init(support, 0)
            for step in range(self.steps):
                state = self.step(state, self.minibatch(support, 0, step))
                bad = [name for name, value in state["theta"].items() if not bool(torch.isfinite(value).all())]
                if bad:
                    return NotFiniteError(
                        "inner_lr",
                        expected="a training that stays finite",
                        got=f"NaN or infinity in `{bad[0]}` after inner step {step + 1} of {self.steps}",
                        do="Lower inner_lr or the rule's scale, or look at the scale of the inputs.",
                    )
        return super().divergence(support)


def _check(run: LearnedTraining) -> None:
    others = {"weights": run.weigh, "augmentation": run.augmentation, "loss": run.loss_part, "dropout": run.dropout}
    learned = [
        name for name, part in {**others, "decay": run.decays}.items() if part is not None and len(list(part.parameters()))
    ]
    if run.detaches and learned:
        raise UnsupportedError(
            learned[0],
            expected="a rule that keeps the gradients' graph, since this part acts through the gradient alone",
            got=f"{type(run.rule).__name__}(keep_gradients=False)",
            do=f"Build the rule with {type(run.rule).__name__}(keep_gradients=True).",
        )
