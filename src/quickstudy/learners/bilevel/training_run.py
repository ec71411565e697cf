"""A training run: phi acts through the whole training of a student.

    s_0      =  init(task, seed)                          the student's weights and whatever else the run keeps          (1)
    s_{t+1}  =  step(s_t, batch_t)                      one step, differentiable in s_t and in phi                     (2)
    L_t      =  objective(s_t, held-out batch)             the loss that the outer loop minimises                         (3)

On an episode a run is an ordinary learner: it takes (1) and then `steps` times (2) on the support. On a stream of batches
(`tasks.Streams`) the estimator carries its state from one outer step to the next and cuts the derivative every `window` steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.forward.blueprint import Hidden
from quickstudy.forward.call import Parameters, plain, run
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.learner import Learner, State
from quickstudy.learners.outcome import Answered
from quickstudy.random import Seed, stateless_normal, stateless_order, stateless_uniform

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


class TrainingRun(Learner):
    """Base class of learners that learn parts of a training run. A subclass defines `init`, `step` and `predict`.

        init(task, seed) -> state       pure; no generator, but `self.initial(seed)`, `stateless_uniform(seed, shape)`
        step(state, batch) -> state   pure, differentiable, runs under vmap
        predict(state, x) -> Tensor
        objective(state, batch)          where it is not the criterion of predict(state, batch.x)

    A state is a dict of tensors (nested dicts, lists and tuples are fine). The student is not part of phi: store it
    with `self.student = hidden(network)` and run it with `self.run(theta, x)`.

    Args:
        steps: the length of a run, on an episode or carried; a carried run then restarts.
        batch_size: support examples in one step on an episode, drawn from the seed; None: all of them.
        normalisation: a student with batch norm needs "transductive", since a run keeps no running averages.

    Raises:
        ArgumentError: steps below 0, a batch_size below 1.

    Examples:
        >>> from quickstudy.learners.bilevel.training_run import TrainingRun, hidden
        >>> class OneRate(TrainingRun):
        ...     def __init__(self, network, steps):
        ...         super().__init__(steps=steps)
        ...         self.student, self.log_rate = hidden(network), torch.nn.Parameter(torch.tensor(-2.0))
        ...     def init(self, task, seed):
        ...         return self.initial(seed)
        ...     def step(self, theta, batch):
        ...         g = torch.func.grad(lambda theta: self.objective(theta, batch))(theta)
        ...         return {name: p - self.log_rate.exp() * g[name] for name, p in theta.items()}
        ...     def predict(self, theta, x):
        ...         return self.run(theta, x)
        >>> learner, task = OneRate(torch.nn.Linear(4, 3), steps=3), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> loss, gradient = qs.meta_gradient(learner, [task])
        >>> list(gradient)
        ['log_rate']
    """

    label_equivariant = False  # only after permuting the rows of the student's head as well

    learned_start = False  # whether init depends on phi: then a carried run starts inside the derivative, with a tensor as seed
    student: Hidden

    def __init__(self, *, steps: int, batch_size: int | None = None, normalisation: Normalisation = "support"):
        super().__init__(normalisation=normalisation)
        if steps < 0:
            raise ArgumentError("steps", expected="0 or more steps", got=str(steps), do="Give the length of a run.")
        if batch_size is not None and batch_size < 1:
            raise ArgumentError("batch_size", expected="1 or more", got=str(batch_size), do="None takes the whole support.")
        self.steps, self.batch_size = steps, batch_size

    # ---- what a run defines ----

    def init(self, task: Examples | None, seed: Seed) -> Any:
        """(1) The state before the first step. `task` is there for its shapes."""
        raise _undefined(self, "init(task, seed) -> state")

    def step(self, state: Any, batch: Examples) -> Any:
        """(2)"""
        raise _undefined(self, "step(state, batch) -> state")

    def objective(self, state: Any, batch: Examples) -> Tensor:
        """(3) The outer loss of a state, a scalar."""
        return self.criterion_of(batch)(self.predict(state, batch.x), batch.y)

    # ---- what this class provides ----

    @property
    def order_invariant(self) -> bool:  # type: ignore[override]
        """False with minibatches, which depend on the order of the support."""
        return self.batch_size is None

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """A whole run on the support. In training every episode has its own initial weights; otherwise seed 0 gives them."""
        scope, seed = self.scope(context), context.seed if context.training else 0
        with scope:
            state = self.init(support, seed)
            for step in range(self.steps if steps is None else steps):
                state = self.step(state, self.minibatch(support, seed, step))
        return State(state)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """`predict` from the state of the run."""
        forward = Forward(context, self.scope(context).source, -1)
        with forward:
            return Answered(self.predict(state.values, x), ({}, {}))

    def minibatch(self, support: Examples, seed: Seed, step: int) -> Examples:
        """The examples of one step on an episode."""
        if self.batch_size is None or self.batch_size >= len(support):
            return support
        chosen = stateless_order(seed, len(support), stream=step, device=support.y.device)[: self.batch_size]
        return support.map(lambda leaf: leaf[chosen])

    def run(self, theta: Mapping[str, Tensor], x: Any) -> Tensor:
        """The student's output with weights theta, in the current pass; dropout is on in training."""
        return run(self.student.module, theta, x, self.training)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> TrainingRun:
        """Move the student to another dtype or device too, though it is not part of phi."""
        if "student" in vars(self):
            self.student.module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def initial(self, seed: Seed) -> Parameters:
        """New random weights for the student, in phi's dtype and on its device."""
        like = next(self.parameters(), None)
        return initial_parameters(
            self.student.module, seed, dtype=None if like is None else like.dtype, device=None if like is None else like.device
        )


def hidden(network: nn.Module, normalisation: Normalisation = "support", argument: str = "network") -> Hidden:
    """A copy of the network, to be the student without being part of phi.

    Raises:
        UnsupportedError: a compiled or wrapped network; one with batch norm, unless normalisation="transductive".
    """
    module = copy.deepcopy(plain(argument, network))
    normed = [name for name, part in module.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if normed and normalisation != "transductive":
        raise UnsupportedError(
            argument,
            expected="a student without batch norm, since a training run keeps no running averages",
            got=f"batch norm at {normed[:3]} under normalisation={normalisation!r}",
            do="Use nn.GroupNorm or nn.LayerNorm, or normalisation='transductive', where every batch is its own.",
        )
    return Hidden(module.requires_grad_(False))


def initial_parameters(
    network: nn.Module, seed: Seed, *, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Parameters:
    """Weights for `network` by name, distributed as torch's own but drawn from `seed`, inside vmap too.

    linear and convolution   U(-1/sqrt(fan_in), 1/sqrt(fan_in)), weight and bias
    embedding                N(0, 1)
    norms                    1 and 0
    anything else            as the network has it
    """
    drawn: Parameters = {}
    names = {id(parameter): name for name, parameter in reversed(list(network.named_parameters()))}
    for module in network.modules():
        for parameter in module._parameters.values():
            if parameter is None or names[id(parameter)] in drawn:
                continue
            options = {"stream": len(drawn), "dtype": dtype or parameter.dtype, "device": device or parameter.device}
            shape = tuple(parameter.shape)
            if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
                bound = module.weight[0].numel() ** -0.5
                value = bound * (2 * stateless_uniform(seed, shape, **options) - 1)  # type: ignore[arg-type]
            elif isinstance(module, nn.Embedding):
                value = stateless_normal(seed, shape, **options)  # type: ignore[arg-type]
            elif isinstance(module, NORMS):
                value = torch.full(
                    shape,
                    float(parameter is module.weight),
                    dtype=options["dtype"],
                    device=options["device"],  # type: ignore[call-overload]
                )
            else:
                value = parameter.detach().to(dtype=options["dtype"], device=options["device"])  # type: ignore[call-overload]
            drawn[names[id(parameter)]] = value
    return {name: drawn[name] for name, _ in network.named_parameters()}


def _undefined(run: TrainingRun, what: str) -> UnsupportedError:
    return UnsupportedError(
        type(run).__name__, expected=f"a training run that defines {what}", got="one that does not", do="Define it."
    )
