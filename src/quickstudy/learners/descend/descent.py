"""Descent: learn by gradient descent from a learned start. The inner loop, once.

    theta_0      =  phi
    theta_{t+1}  =  rule( theta_t,  P d/dtheta [ L(f_theta(support)) + strength/2 ||theta - phi||^2 ],  a_t )     (1)
    predict(x)   =  f_{theta_K}(x)                                                                                (2)

MAML, FOMAML, Reptile, iMAML, ANIL, BOIL, Meta-SGD, Meta-Curvature, CAVIA and MAML++ are points of this one learner: see
`quickstudy.recipes`.

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, eq. 1 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.curvature import Curvature
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates, Rates
from quickstudy.learners.descend.rule import SGD, InnerRule, clip_by_norm
from quickstudy.learners.descend.step_norms import StepNorms
from quickstudy.learners.learner import Learner, Loss, Measures, check_outputs, default_loss
from quickstudy.network import Parameters, call, plain
from quickstudy.rules import Normalisation, Rules, Source, Statistics, active

if TYPE_CHECKING:
    from quickstudy.meta.outer import Gradient

# theta; t and the rule's state; in training with dropout, its seed and step; at the end, statistics and the norms of theta_K
DescentState = dict[str, Any]

# Where batch norm takes its statistics in an inner step, and as a query is answered (in training "running" means the batch's).
INNER: dict[Normalisation, Source] = {"support": "batch", "running": "running", "transductive": "batch", "frozen": "running"}
QUERY: dict[Normalisation, Source] = {"support": "replay", "running": "running", "transductive": "batch", "frozen": "running"}


class Descent(Learner, rules=False):
    """Gradient descent on the support set, from a learned start.

    Main arguments:
        network: any nn.Module, unmodified; its parameters are the start phi.
        inner_lr: a, the step size; `LearnedRates(...)` makes it part of phi.
        inner_steps: K.
        hypergradient: how the meta-gradient passes through the inner loop: `Unrolled()`, `FirstOrder()`, `Truncated(k)`,
            `Implicit(solver=)`.
        loss: L(prediction, y) -> scalar mean; None: cross-entropy for integer labels, mean squared error for targets.
        adapts: which parameters of the network adapt: a glob or several over their names ("head.*"). The others are part of phi
            and stand still in the inner loop. A buffer that is named in full adapts too: from its own value, which is no part of
            phi, in every task.
        normalisation: see `Learner`; "support" is not transductive.

    Other arguments:
        rule: `SGD()`, `Momentum()` or `Adam()`.
        curvature: P, a learned matrix for each layer's gradient: `Curvature()`; None: the identity.
        strength: of the proximal term, which ties theta to phi.
        clip: largest norm of an inner gradient.
        step_weights: weight of the query loss after 0, 1, ..., K steps; None: only after the last.
        norms_per_step: whether theta_0 .. theta_K have batch norms of their own, which no inner step moves (`StepNorms`).
        annealing: what of it changes during meta-training, `Annealing(...)`.
        outer: the across-task method that `meta_train` takes where none is given.
        name: what tables call it.

    Raises:
        ArgumentError: `adapts` that matches no parameter; step_weights of the wrong length; a negative inner_lr or inner_steps.
        UnsupportedError: a compiled or wrapped network; a learned loss with `FirstOrder`; step_weights, norms_per_step or an
            annealed multi-step loss with a hypergradient that sees only the last state; norms_per_step with one that recomputes.
    """

    label_equivariant = False  # only after permuting the rows of the network's head as well

    strength: Tensor
    weights: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        inner_lr: float | LearnedRates = 0.01,
        inner_steps: int = 1,
        hypergradient: Hypergradient = Unrolled(),
        loss: Loss | None = None,
        adapts: str | Sequence[str] = "*",
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        strength: float = 0.0,
        clip: float | None = None,
        curvature: Curvature | None = None,
        step_weights: Sequence[float] | None = None,
        norms_per_step: bool = False,
        annealing: Annealing | None = None,
        outer: Gradient | None = None,
        name: str = "Descent",
    ):
        super().__init__(normalisation=normalisation)
        self.network = plain("network", network)
        self.inner_lr, self.inner_steps, self.hypergradient = inner_lr, inner_steps, hypergradient
        self.loss_function, self.adapts, self.rule = loss, adapts, rule
        self.clip, self.outer, self.name = clip, outer, name
        self.step_weights = None if step_weights is None else tuple(step_weights)
        self.norms_per_step, self.annealing = norms_per_step, annealing
        self._given = self.hypergradient, self.step_weights  # what annealing ends with
        self.norms = StepNorms(network, inner_steps) if norms_per_step else None
        self.names = _adapting(network, adapts, self.norms)
        self.rates = Rates(inner_lr, self.initial(), inner_steps)
        self.curvature = None if curvature is None else curvature.of(self.initial())
        self.register_buffer("strength", torch.tensor(float(strength), dtype=self._dtype()), persistent=False)
        self.proximal = strength != 0
        weights = torch.tensor(self.step_weights or (0.0,) * inner_steps + (1.0,), dtype=self._dtype())
        self.register_buffer("weights", weights, persistent=False)  # of the query loss after 0..K steps
        _check(self)

    # ---- a learner: state and prediction ----

    def learn(self, support: Examples, steps: int | None = None) -> DescentState:
        """theta_K, by `steps` inner steps (`inner_steps` of them where not given)."""
        steps = self.inner_steps if steps is None else steps
        return self.settle(self.hypergradient.descend(self, self.begin(support), support, steps), support)

    def predict(self, state: DescentState, x: Any) -> Tensor:
        """(2)"""
        outer, parameters = active(), {**state["theta"], **state.get("norms", {})}
        if self.normalisation == "running" and outer is not None and outer.episode:
            rules = Rules("record", **_dropout(state, query=True))
            prediction = call(self.network, parameters, x, rules)
            outer.kept, outer.targets = outer.kept + rules.kept, outer.targets + rules.targets
            return prediction
        kept = [(mean, variance, 0) for mean, variance in state.get("statistics", ())]
        return call(self.network, parameters, x, Rules(QUERY[self.normalisation], kept=kept, **_dropout(state, query=True)))

    def adapted(self, state: DescentState) -> Parameters:
        """theta by the names that its tensors have in phi; a buffer that adapts has none."""
        phi = dict(self.network.named_parameters())
        return {f"network.{name}": value for name, value in state["theta"].items() if name in phi}

    # ---- a learner that takes steps ----

    def begin(self, support: Examples) -> DescentState:
        """The state before the first step: theta_0 = phi."""
        theta, outer = self.initial(), active()
        state: DescentState = {"theta": theta, "rule": self.rule.begin(theta), "t": Count(0)}
        if outer is not None and outer.seed is not None:
            state["dropout"] = {"seed": outer.seed, "step": torch.zeros((), dtype=torch.int64, device=outer.seed.device)}
        return state

    def advance(self, state: DescentState, batch: Examples) -> DescentState:
        """(1)"""
        t = state["t"].value
        g = self.hypergradient.inner_gradient(lambda theta: self.inner_gradient({**state, "theta": theta}, batch), state["theta"])
        if self.clip is not None:
            g = clip_by_norm(g, self.clip)
        if self.curvature is not None:
            g = self.curvature(g)
        theta, rule = self.rule.update(state["theta"], g, state["rule"], self.rates(t))
        return self.moved({**state, "rule": rule}, theta)

    def moved(self, state: DescentState, theta: Parameters) -> DescentState:
        """The state one inner step on, at theta."""
        after = {**state, "theta": theta, "t": Count(state["t"].value + 1)}
        if "dropout" in state:
            after["dropout"] = {"seed": state["dropout"]["seed"], "step": state["dropout"]["step"] + 1}
        return after

    def inner_gradient(self, state: DescentState, support: Examples) -> Parameters:
        """d/dtheta [ L(f_theta(support)) + strength/2 ||theta - phi||^2 ]"""
        return self.inner_gradient_and_loss(state, support)[0]

    def inner_gradient_and_loss(self, state: DescentState, support: Examples) -> tuple[Parameters, Tensor]:
        """The inner gradient, and the inner objective that it is of."""
        norms = self._norms(state)
        seen: list[tuple[Tensor | None, Statistics]] = []

        def objective(theta: Parameters) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
            rules = Rules(self._inner_source(), **_dropout(state))
            prediction = call(self.network, {**theta, **norms}, support.x, rules)
            check_outputs(prediction, support)
            value = self.criterion(prediction, support.y)
            if self.proximal:
                phi = self.initial()
                value = value + self.strength / 2 * sum(((theta[name] - phi[name]) ** 2).sum() for name in theta)
            seen[:] = zip(rules.targets, rules.kept, strict=True)
            return value, [(kept.mean.detach(), kept.variance.detach()) for kept in rules.kept]

        g, (value, statistics) = grad_and_value(objective, has_aux=True)(state["theta"])
        if seen and (outer := active()) is not None:  # the running averages of this step's own norms, for the outer loop to move
            pairs = zip(statistics, seen, strict=True)
            outer.kept = outer.kept + [Statistics(mean, variance, kept.values) for (mean, variance), (_, kept) in pairs]
            outer.targets = outer.targets + [target for target, _ in seen]
        return g, value

    def settle(self, state: DescentState, support: Examples) -> DescentState:
        """The state that predicts: theta, and under the policy "support" the statistics of the support at theta."""
        kept: DescentState = {key: state[key] for key in ("theta", "dropout") if key in state}
        norms = self._norms(state)
        if norms:  # a predictor's averages are its own: the outer loop moves the learner's
            kept["norms"] = norms if active() is not None else {name: tensor.clone() for name, tensor in norms.items()}
        if self.normalisation == "support":
            rules = Rules("record", **_dropout(state))
            call(self.network, {**state["theta"], **norms}, support.x, rules)
            if rules.kept:
                kept["statistics"] = [tuple(one[:2]) for one in rules.kept]
        return kept

    # ---- what the across-task training lowers ----

    def measured_loss(self, episode: Episode, criterion: Loss | None = None) -> tuple[Tensor, Measures]:
        criterion = criterion or self.criterion
        if self.step_weights is None:
            return self.hypergradient.measured_loss(self, episode, criterion)
        state, total = self.begin(episode.support), torch.zeros((), dtype=self._dtype(), device=self.strength.device)
        for t, counts in enumerate(self.step_weights):
            if t:
                state = self.hypergradient.descend(self, state, episode.support, 1)
            if counts:
                total = total + self.weights[t] * self.query_loss(state, episode.support, episode.query, criterion)
        return total, {}

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The query loss after the descent; with `step_weights` the weighed sum of those after every step."""
        return self.measured_loss(episode, criterion)[0]

    def query_loss(self, state: DescentState, support: Examples, query: Examples, criterion: Loss) -> Tensor:
        """The loss on the query of the state's theta."""
        return criterion(self.predict(self.settle(state, support), query.x), query.y)

    # ---- what changes as meta-training goes on ----

    def at(self, step: int) -> bool:
        """Take the weights of the step losses, and the order of the derivative, that belong to meta-step `step`."""
        if self.annealing is None:
            return False
        before = self.hypergradient, self.step_weights
        self.hypergradient, self.step_weights = self._given
        if step <= self.annealing.first_order:
            self.hypergradient = FirstOrder()
        if step <= self.annealing.multi_step and self.inner_steps:
            self.step_weights = (0.0,) + (1.0,) * self.inner_steps  # which count; the weights themselves are numbers of a buffer
            weights: Sequence[float] = self.annealing.weights(step, self.inner_steps)
        else:
            weights = self.step_weights or (0.0,) * self.inner_steps + (1.0,)
        self.weights.copy_(torch.tensor(weights, dtype=self.weights.dtype))
        return before != (self.hypergradient, self.step_weights)

    # ---- its parts ----

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        """Whether its meta-gradient is the derivative of its loss: not where steps are dropped, or taken to be at rest."""
        return isinstance(self.hypergradient, Unrolled)

    @property
    def criterion(self) -> Loss:
        """The inner loss; the outer one too where none is given."""
        return self.loss_function or default_loss

    def initial(self) -> Parameters:
        """phi restricted to what adapts, by the network's names; a buffer that adapts begins at its own value."""
        tensors = {**dict(self.network.named_buffers()), **dict(self.network.named_parameters())}
        return {name: tensors[name] for name in self.names}

    def first_rate(self) -> Tensor:
        """The step size as one number, for a solver that needs one (the mean where it is learned)."""
        rates = list(self.rates().values())
        return rates[0] if rates[0].ndim == 0 else torch.cat([rate.reshape(-1) for rate in rates]).mean()

    def divergence(self, support: Examples) -> NotFiniteError:
        """The error that names the inner step and the parameter at which the loop diverged."""
        with torch.no_grad():
            state = self.begin(support)
            for step in range(1, self.inner_steps + 1):
                state = self.advance(state, support)
                for name, value in state["theta"].items():
                    if not bool(torch.isfinite(value).all()):
                        return _diverged(step, name, self)
        return super().divergence(support)

    def _inner_source(self) -> Source:
        outer = active()
        if self.normalisation == "running" and outer is not None and outer.episode:
            return "batch" if self.norms is None else "record"
        return INNER[self.normalisation]

    def _norms(self, state: DescentState) -> Parameters:
        return {} if self.norms is None else self.norms.at(state["t"].value)

    def _dtype(self) -> torch.dtype:
        return next(iter(self.initial().values())).dtype


def _dropout(state: DescentState, query: bool = False) -> dict[str, Any]:
    """Seed and step for the dropout of a forward pass: inner step t, or -1 for the query."""
    if "dropout" not in state:
        return {}
    return {"seed": state["dropout"]["seed"], "step": -1 if query else state["dropout"]["step"]}


class Count:
    """A number that a state holds as structure, not as a tensor: it is the same in every task, and may pick a module."""

    __slots__ = ("value",)

    def __init__(self, value: int):
        self.value = value


pytree.register_pytree_node(
    Count, lambda count: ([], count.value), lambda _, value: Count(value), serialized_type_name="quickstudy.Count"
)


def _adapting(network: nn.Module, adapts: str | Sequence[str], norms: StepNorms | None) -> tuple[str, ...]:
    patterns = [adapts] if isinstance(adapts, str) else list(adapts)
    trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    names = tuple(name for name in trainable if any(fnmatchcase(name, pattern) for pattern in patterns))
    names = tuple(name for name in names if norms is None or not norms.holds(name))
    names += tuple(name for name, buffer in network.named_buffers() if name in patterns and buffer.is_floating_point())
    if not names:
        raise ArgumentError(
            "adapts",
            expected=f"a pattern that matches one of the trainable parameters {trainable}",
            got=repr(adapts),
            do="Name some, for example adapts='*' for all, or set requires_grad on what should adapt.",
        )
    return names


def _check(learner: Descent) -> None:
    """Refuse what cannot work, at construction."""
    if learner.inner_steps < 0:
        raise ArgumentError("inner_steps", expected="0 or more", got=str(learner.inner_steps), do="0 predicts from phi itself.")
    lr = learner.inner_lr.initial if isinstance(learner.inner_lr, LearnedRates) else learner.inner_lr
    if not lr > 0:
        raise ArgumentError("inner_lr", expected="a step size above 0", got=str(lr), do="0.01 to 0.4 are common.")
    weights = learner.step_weights
    if weights is not None and len(weights) != learner.inner_steps + 1:
        raise ArgumentError(
            "step_weights",
            expected=f"{learner.inner_steps + 1} weights, one for the loss after each of 0..{learner.inner_steps} inner steps",
            got=f"{len(weights)}",
            do="The first weighs the loss before adaptation.",
        )
    if weights is not None and not learner.hypergradient.every_step:
        raise UnsupportedError(
            "step_weights",
            expected="a hypergradient that passes through every step",
            got=repr(learner.hypergradient),
            do="Use Unrolled() or FirstOrder().",
        )
    annealed = learner.annealing is not None and learner.annealing.multi_step > 0
    for argument, given in (("norms_per_step", learner.norms_per_step), ("annealing", annealed)):
        recomputed = argument == "norms_per_step" and learner.hypergradient == Unrolled(recompute=True)
        if given and (recomputed or not learner.hypergradient.every_step):
            raise UnsupportedError(
                argument,
                expected="a hypergradient that passes through every step" + (" and does not recompute it" if recomputed else ""),
                got=repr(learner.hypergradient),
                do="Use Unrolled() or FirstOrder().",
            )
    learned_loss = isinstance(learner.loss_function, nn.Module) and any(True for _ in learner.loss_function.parameters())
    if learned_loss and isinstance(learner.hypergradient, FirstOrder):
        raise UnsupportedError(
            "hypergradient",
            expected="one that differentiates the inner gradient, since a learned loss acts only through it",
            got="FirstOrder()",
            do="Use Unrolled().",
        )


def _diverged(step: int, name: str, learner: Descent) -> NotFiniteError:
    return NotFiniteError(
        "inner_lr",
        expected="an inner loop that stays finite",
        got=f"NaN or infinity in `{name}` after inner step {step} of {learner.inner_steps}",
        do="Lower inner_lr, pass clip=, or look at the scale of the inputs.",
    )
