"""Descent: learn by gradient descent from a learned start.

    theta_0      =  phi
    theta_{t+1}  =  rule( theta_t,  P d/dtheta [ L(f_theta(support)) + lambda/2 ||theta - phi||^2 ],  a_t )       (1)
    predict(x)   =  f_{theta_K}(x)                                                                                (2)

MAML, FOMAML, Reptile, iMAML, ANIL, BOIL, Meta-SGD, Meta-Curvature, CAVIA and MAML++ are settings of this one learner: see
`quickstudy.recipes`.

Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, eq. 1 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveFloat, Range
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.forward.blueprint import Blueprint
from quickstudy.forward.call import Parameters, call, plain
from quickstudy.forward.context import Context, Normalisation, source
from quickstudy.forward.derivatives import gradient_of
from quickstudy.forward.mode import Forward
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.curvature import Curvature
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient, Unrolled
from quickstudy.learners.descend.inner_problem import InnerProblem, Iterate
from quickstudy.learners.descend.rates import LearnedRates, Rates
from quickstudy.learners.descend.rule import SGD, InnerRule, clip_by_norm
from quickstudy.learners.descend.step_norms import StepNorms
from quickstudy.learners.learner import Learner, Loss, recorded
from quickstudy.learners.outcome import Answered, Outcome, Recorded, State, averages

if TYPE_CHECKING:
    from quickstudy.meta.outer.outer import Gradient


class Inputs(NamedTuple):
    """Every tensor that an inner problem depends on besides theta."""

    phi: Parameters
    support: Examples
    seed: Tensor


InnerSteps = Annotated[int, Range(0, 100_000)]  # 0 predicts from phi itself


class Descent(Learner):
    """Gradient descent on the support set, from a learned start.

    Args:
        network: any nn.Module, unmodified; its parameters are the start phi.
        inner_lr: a, the step size; `LearnedRates(...)` makes it part of phi.
        inner_steps: K.
        hypergradient: how the meta-gradient passes through the inner loop: `Unrolled()`, `FirstOrder()`, `Truncated(k)`,
            `Implicit(solver=)`.
        loss: L(prediction, y) -> scalar mean; None: cross-entropy for integer labels, mean squared error for targets.
        adapts: which parameters of the network adapt: one or several globs over their names ("head.*"). The others are part of
            phi and fixed in the inner loop. A buffer named in full adapts too; it starts from its own value in every task and is
            not part of phi.
        normalisation: see `Learner`; "support" is not transductive.

    Other Args:
        rule: `SGD()`, `Momentum()` or `Adam()`.
        curvature: P, a learned preconditioner of the inner gradient: `Curvature()`; None: the identity.
        proximal_weight: lambda, which ties theta to phi.
        clip: largest norm of an inner gradient.
        step_weights: weight of the query loss after 0, 1, ..., K steps; None: only after the last.
        norms_per_step: whether each of theta_0 .. theta_K has its own batch norms, which inner steps do not change (`StepNorms`).
        annealing: a schedule of the loss and its derivative over meta-training, `Annealing(...)`.
        outer: the outer method that `meta_train` uses unless it is given one.
        name: its name in tables.

    Raises:
        ArgumentError: `adapts` matches no parameter; `step_weights` has the wrong length; `inner_lr` is not above 0;
            `inner_steps` is negative.
        UnsupportedError: a compiled or wrapped network; a learned loss with `FirstOrder`; step_weights, norms_per_step or an
            annealed multi-step loss with a hypergradient that sees only the last state; norms_per_step with one that recomputes.

    Examples:
        >>> learner = qs.Descent(qs.models.mlp(4, 3, hidden=(8,)), inner_lr=0.1, inner_steps=2, adapts="head.*")
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, queries=10).test.sample(1)[0]
        >>> predictor = learner.adapt(task.support)
        >>> predictor(task.query.x).shape
        torch.Size([30, 3])
        >>> list(predictor.state.values["theta"])  # the parameters that adapted
        ['head.weight', 'head.bias']
    """

    label_equivariant = False  # only after permuting the rows of the network's head as well

    proximal_weight: Tensor
    weights: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        inner_lr: float | LearnedRates = 0.01,
        inner_steps: InnerSteps = 1,
        hypergradient: Hypergradient = Unrolled(),
        loss: Loss | None = None,
        adapts: str | Sequence[str] = "*",
        normalisation: Normalisation = "support",
        rule: InnerRule = SGD(),
        proximal_weight: NonNegativeFloat = 0.0,
        clip: PositiveFloat | None = None,
        curvature: Curvature | None = None,
        step_weights: Sequence[NonNegativeFloat] | None = None,
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
        self.register_buffer("proximal_weight", torch.tensor(float(proximal_weight), dtype=self._dtype()), persistent=False)
        self.proximal = proximal_weight != 0
        self._plan: Blueprint | None = None  # of the network of a private copy
        weights = torch.tensor(self.step_weights or (0.0,) * inner_steps + (1.0,), dtype=self._dtype())
        self.register_buffer("weights", weights, persistent=False)  # of the query loss after 0..K steps
        _check(self)

    # ---- a learner: state, answer, outcome ----

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """theta_K after `steps` inner steps; None: `inner_steps`."""
        steps, problem = self.inner_steps if steps is None else steps, self.problem(support, context)
        at = self.hypergradient.descend(problem, problem.start(), steps)
        return self.finalise(at.theta, support, context, steps)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """(2)"""
        norms = source(self.normalisation, "query", context.training)
        forward = Forward(context, norms, -1, state.statistics if norms == "replay" else None)
        return Answered(self.run({**state.values["theta"], **state.values.get("norms", {})}, x, forward), recorded(forward))

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """The query loss after the descent; with `step_weights` the weighted sum of the losses after every step."""
        support, query, criterion = episode.support, episode.query, self.criterion_of(episode.query, criterion)
        passes: dict[Any, Recorded] = {}

        def query_loss(theta: Parameters, t: int) -> Tensor:
            prediction, seen = self.answer(self.finalise(theta, support, context, t), query.x, context)
            passes["query", t] = self._of_step(seen, t)
            return criterion(prediction, query.y)

        problem = self.problem(support, context, query_loss, passes)
        if self.step_weights is None:
            loss, log = self.hypergradient.loss(problem, self.inner_steps)
        else:
            loss, log = self._multi_step_loss(problem), {}
        return Outcome(loss, log, averages(list(passes.values())) if self.averages(context) else {}, ())

    def _multi_step_loss(self, problem: InnerProblem) -> Tensor:
        at, total = problem.start(), torch.zeros((), dtype=self.weights.dtype, device=self.weights.device)
        for t, counts in enumerate(self.step_weights or ()):
            if t:
                at = self.hypergradient.descend(problem, at, 1, t - 1)
            if counts:
                total = total + self.weights[t] * problem.outer_loss(at.theta, t)
        return total

    # ---- the inner problem ----

    def problem(
        self,
        support: Examples,
        context: Context,
        outer_loss: Callable[[Parameters, int], Tensor] | None = None,
        passes: dict[Any, Recorded] | None = None,
        start: Callable[[], Iterate] | None = None,
    ) -> InnerProblem:
        """Descent on a support set. `passes` collects what norms record in inner steps; `start` replaces the first iterate."""

        def gradient(theta: Parameters, t: int) -> Parameters:
            g, _, seen = self.inner_gradient(theta, t, support, context)
            if passes is not None and seen[0]:
                passes["support", t] = self._of_step(seen, t)
            return g

        def remade(inputs: Inputs) -> InnerProblem:
            other: Descent = Blueprint(self)(inputs.phi)
            return other.problem(inputs.support, Context(context.training, inputs.seed))

        def inputs() -> Inputs:
            return Inputs(dict(self.named_parameters()), support, torch.as_tensor(context.seed))

        # `is None`, not `or`: a torch before 2.13 cannot trace whether a function is true
        first = (lambda: self.start(support, context)) if start is None else start
        last = _no_outer_loss if outer_loss is None else outer_loss
        return InnerProblem(first, gradient, self.step, last, self.first_rate, inputs, remade)

    def start(self, support: Examples, context: Context) -> Iterate:
        """theta_0 = phi."""
        theta = self.initial()
        return Iterate(theta, self.rule.init(theta))

    def inner_gradient(
        self, theta: Parameters, t: int, support: Examples, context: Context
    ) -> tuple[Parameters, Tensor, Recorded]:
        """d/dtheta [ L(f_theta(support)) + lambda/2 ||theta - phi||^2 ], that objective, and what norms recorded."""
        norms = self._norms(t)
        counts: dict[str, int] = {}

        def objective(theta: Parameters) -> tuple[Tensor, Any]:
            forward = Forward(context, self._inner_source(context), t)
            prediction = self.run({**theta, **norms}, support.x, forward)
            value = self.criterion_of(support)(prediction, support.y)
            if self.proximal:
                phi = self.initial()
                value = value + self.proximal_weight / 2 * sum(((theta[name] - phi[name]) ** 2).sum() for name in theta)
            statistics, values = recorded(forward)
            counts.update(values)
            return value, statistics

        g, value, statistics = gradient_of(objective, theta)
        return g, value, (statistics, counts)

    def step(self, at: Iterate, g: Parameters, t: int) -> Iterate:
        """(1) with the gradient g."""
        if self.clip is not None:
            g = clip_by_norm(g, self.clip)
        if self.curvature is not None:
            g = self.curvature(g)
        return Iterate(*self.rule.update(at.theta, g, at.rule, self.rates(t)))

    def finalise(self, theta: Parameters, support: Examples, context: Context, t: int) -> State:
        """The state after t steps, for prediction: theta, and with normalisation="support" the support's statistics at theta."""
        values, norms = {"theta": theta}, self._norms(t)
        if norms:  # a predictor keeps its own averages: the outer loop changes the learner's
            values["norms"] = norms if context.training else {name: tensor.clone() for name, tensor in norms.items()}
        if self.normalisation != "support":
            return State(values)
        forward = Forward(context, "record", t)
        self.run({**theta, **norms}, support.x, forward)
        return State(values, forward.statistics)

    def run(self, theta: Parameters, x: Any, forward: Forward) -> Tensor:
        """f_theta(x) in one pass."""
        plan = self._plan
        if plan is None and not torch.compiler.is_compiling():
            plan = Blueprint(self.network, forward.context.training)
            if self.is_copy:
                self._plan = plan
        return call(self.network, theta, x, forward, plan)

    # ---- what changes during meta-training ----

    def at(self, step: int) -> bool:
        """Set the loss weights and the order of the derivative for meta-step `step`; True if the problem is another one now."""
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
        """True for `Unrolled`: the other hypergradients drop derivatives or assume that the inner loop has converged."""
        return isinstance(self.hypergradient, Unrolled)

    @property
    def criterion(self) -> Loss | None:
        """The inner loss; also the outer loss unless another is given."""
        return self.loss_function

    def initial(self) -> Parameters:
        """phi restricted to what adapts, by the network's names; an adapting buffer starts at its own value."""
        tensors = {**dict(self.network.named_buffers()), **dict(self.network.named_parameters())}
        return {name: tensors[name] for name in self.names}

    def first_rate(self) -> Tensor:
        """The step size as one number, for a solver that needs one (the mean where it is learned)."""
        rates = list(self.rates().values())
        return rates[0] if rates[0].ndim == 0 else torch.cat([rate.reshape(-1) for rate in rates]).mean()

    def adapted(self, state: State) -> Parameters:
        """theta by the names of its tensors in phi; adapting buffers are left out."""
        phi = dict(self.network.named_parameters())
        return {f"network.{name}": value for name, value in state.values["theta"].items() if name in phi}

    def divergence(self, support: Examples) -> NotFiniteError:
        """The error that names the inner step and the parameter at which the loop diverged."""
        with torch.no_grad():
            problem = self.copied().problem(support, Context())
            at = problem.start()
            for t in range(self.inner_steps):
                at = problem.step(at, problem.gradient(at.theta, t), t)
                for name, value in at.theta.items():
                    if not bool(torch.isfinite(value).all()):
                        return _diverged(t + 1, name, self)
        return super().divergence(support)

    def _inner_source(self, context: Context) -> Any:
        if self.norms is not None and self.averages(context):
            return "record"  # every step updates its own averages
        return source(self.normalisation, "inner", context.training)

    def _norms(self, t: int) -> Parameters:
        return {} if self.norms is None else self.norms.at(t)

    def _of_step(self, seen: Recorded, t: int) -> Recorded:
        """The statistics recorded after t steps, under the names of that step's norms."""
        return seen if self.norms is None else self.norms.renamed(seen, t, self.network)

    def _dtype(self) -> torch.dtype:
        return next(iter(self.initial().values())).dtype


def _no_outer_loss(theta: Parameters, t: int) -> Tensor:
    raise UnsupportedError(
        "outer_loss", expected="a problem with an outer loss", got="one of the support alone", do="Give problem(outer_loss=)."
    )


def _adapting(network: nn.Module, adapts: str | Sequence[str], norms: StepNorms | None) -> tuple[str, ...]:
    patterns = [adapts] if isinstance(adapts, str) else list(adapts)
    trainable = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    buffers = [name for name, buffer in network.named_buffers() if buffer.is_floating_point()]
    for pattern in patterns:
        if pattern not in buffers and not any(fnmatchcase(name, pattern) for name in trainable):
            raise ArgumentError(
                "adapts",
                expected=f"a pattern that matches one of the trainable parameters {trainable}",
                got=repr(pattern),
                do="Name some, for example adapts='*' for all, or set requires_grad on what should adapt.",
            )
    names = tuple(name for name in trainable if any(fnmatchcase(name, pattern) for pattern in patterns))
    names = tuple(name for name in names if norms is None or not norms.holds(name))
    names += tuple(name for name in buffers if name in patterns)
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
