"""Descent: learn by gradient descent from a learned start. The inner loop, once.

    theta_0      =  phi
    theta_{t+1}  =  rule( theta_t,  d/dtheta [ L(f_theta(support)) + strength/2 ||theta - phi||^2 ],  a )         (1)
    predict(x)   =  f_{theta_K}(x)                                                                                (2)

MAML, FOMAML, Reptile, iMAML, ANIL and Meta-SGD are points of this one learner: see `quickstudy.recipes`.

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, eq. 1 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import grad

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates, Rates
from quickstudy.learners.descend.rule import SGD, InnerRule, clip_by_norm
from quickstudy.learners.learner import Learner, Loss, Measures, check_outputs, default_loss
from quickstudy.network import Parameters, call, plain
from quickstudy.rules import Normalisation, Rules, Source, active

if TYPE_CHECKING:
    from quickstudy.meta.outer import Gradient

DescentState = dict[str, Any]  # theta; the rule's state; in training with dropout, its seed and step; at the end, statistics

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
            and stand still in the inner loop.
        normalisation: see `Learner`; "support" is not transductive.

    Other arguments:
        rule: `SGD()`, `Momentum()` or `Adam()`.
        strength: of the proximal term, which ties theta to phi.
        clip: largest norm of an inner gradient.
        step_weights: weight of the query loss after 0, 1, ..., K steps; None: only after the last.
        outer: the across-task method that `meta_train` takes where none is given.
        name: what tables call it.

    Raises:
        ArgumentError: `adapts` that matches no parameter; step_weights of the wrong length; a negative inner_lr or inner_steps.
        UnsupportedError: a compiled or wrapped network; a learned loss with `FirstOrder`; step_weights with a hypergradient
            that sees only the last state.
    """

    label_equivariant = False  # only after permuting the rows of the network's head as well

    strength: Tensor

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
        step_weights: Sequence[float] | None = None,
        outer: Gradient | None = None,
        name: str = "Descent",
    ):
        super().__init__(normalisation=normalisation)
        self.network = plain("network", network)
        self.inner_lr, self.inner_steps, self.hypergradient = inner_lr, inner_steps, hypergradient
        self.loss_function, self.adapts, self.rule = loss, adapts, rule
        self.clip, self.outer, self.name = clip, outer, name
        self.step_weights = None if step_weights is None else tuple(step_weights)
        self.names = _adapting(network, adapts)
        self.rates = Rates(inner_lr, self.initial())
        self.register_buffer("strength", torch.tensor(float(strength), dtype=self._dtype()), persistent=False)
        self.proximal = strength != 0
        _check(self)

    # ---- a learner: state and prediction ----

    def learn(self, support: Examples, steps: int | None = None) -> DescentState:
        """theta_K, by `steps` inner steps (`inner_steps` of them where not given)."""
        steps = self.inner_steps if steps is None else steps
        return self.settle(self.hypergradient.descend(self, self.begin(support), support, steps), support)

    def predict(self, state: DescentState, x: Any) -> Tensor:
        """(2)"""
        outer = active()
        if self.normalisation == "running" and outer is not None and outer.episode:
            rules = Rules("record", **_dropout(state, query=True))
            prediction = call(self.network, state["theta"], x, rules)
            outer.kept, outer.targets = outer.kept + rules.kept, outer.targets + rules.targets
            return prediction
        kept = [(mean, variance, 0) for mean, variance in state.get("statistics", ())]
        return call(self.network, state["theta"], x, Rules(QUERY[self.normalisation], kept=kept, **_dropout(state, query=True)))

    def adapted(self, state: DescentState) -> Parameters:
        """theta by the names that its tensors have in phi."""
        return {f"network.{name}": value for name, value in state["theta"].items()}

    # ---- a learner that takes steps ----

    def begin(self, support: Examples) -> DescentState:
        """The state before the first step: theta_0 = phi."""
        theta, outer = self.initial(), active()
        state: DescentState = {"theta": theta, "rule": self.rule.begin(theta)}
        if outer is not None and outer.seed is not None:
            state["dropout"] = {"seed": outer.seed, "step": torch.zeros((), dtype=torch.int64, device=outer.seed.device)}
        return state

    def advance(self, state: DescentState, batch: Examples) -> DescentState:
        """(1)"""
        g = self.hypergradient.inner_gradient(lambda theta: self.inner_gradient({**state, "theta": theta}, batch), state["theta"])
        if self.clip is not None:
            g = clip_by_norm(g, self.clip)
        theta, rule = self.rule.update(state["theta"], g, state["rule"], self.rates())
        after = {**state, "theta": theta, "rule": rule}
        if "dropout" in state:
            after["dropout"] = {"seed": state["dropout"]["seed"], "step": state["dropout"]["step"] + 1}
        return after

    def inner_gradient(self, state: DescentState, support: Examples) -> Parameters:
        """d/dtheta [ L(f_theta(support)) + strength/2 ||theta - phi||^2 ]"""

        def objective(theta: Parameters) -> Tensor:
            prediction = call(self.network, theta, support.x, Rules(self._inner_source(), **_dropout(state)))
            check_outputs(prediction, support)
            value = self.criterion(prediction, support.y)
            if self.proximal:
                phi = self.initial()
                value = value + self.strength / 2 * sum(((theta[name] - phi[name]) ** 2).sum() for name in theta)
            return value

        return grad(objective)(state["theta"])

    def settle(self, state: DescentState, support: Examples) -> DescentState:
        """The state that predicts: theta, and under the policy "support" the statistics of the support at theta."""
        kept: DescentState = {key: state[key] for key in ("theta", "dropout") if key in state}
        if self.normalisation == "support":
            rules = Rules("record", **_dropout(state))
            call(self.network, state["theta"], support.x, rules)
            if rules.kept:
                kept["statistics"] = [tuple(one[:2]) for one in rules.kept]
        return kept

    # ---- what the across-task training lowers ----

    def measured_loss(self, episode: Episode, criterion: Loss | None = None) -> tuple[Tensor, Measures]:
        criterion = criterion or self.criterion
        if self.step_weights is None:
            return self.hypergradient.measured_loss(self, episode, criterion)
        state, total = self.begin(episode.support), torch.zeros((), dtype=self._dtype(), device=self.strength.device)
        for t, weight in enumerate(self.step_weights):
            if t:
                state = self.hypergradient.descend(self, state, episode.support, 1)
            if weight:
                total = total + weight * self.query_loss(state, episode.support, episode.query, criterion)
        return total, {}

    def loss(self, episode: Episode, criterion: Loss | None = None) -> Tensor:
        """The query loss after the descent; with `step_weights` the weighed sum of those after every step."""
        return self.measured_loss(episode, criterion)[0]

    def query_loss(self, state: DescentState, support: Examples, query: Examples, criterion: Loss) -> Tensor:
        """The loss on the query of the state's theta."""
        return criterion(self.predict(self.settle(state, support), query.x), query.y)

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
        """phi restricted to what adapts, by the network's names."""
        parameters = dict(self.network.named_parameters())
        return {name: parameters[name] for name in self.names}

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
        training = outer is not None and outer.episode
        return "batch" if self.normalisation == "running" and training else INNER[self.normalisation]

    def _dtype(self) -> torch.dtype:
        return next(iter(self.initial().values())).dtype


def _dropout(state: DescentState, query: bool = False) -> dict[str, Any]:
    """Seed and step for the dropout of a forward pass: inner step t, or -1 for the query."""
    if "dropout" not in state:
        return {}
    return {"seed": state["dropout"]["seed"], "step": -1 if query else state["dropout"]["step"]}


def _adapting(network: nn.Module, adapts: str | Sequence[str]) -> tuple[str, ...]:
    patterns = [adapts] if isinstance(adapts, str) else list(adapts)
    trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    names = tuple(name for name in trainable if any(fnmatchcase(name, pattern) for pattern in patterns))
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
