"""The within-task derivative: how d theta_K / d phi passes back through the inner loop.

    theta_0 = phi,    theta_{t+1} = step(theta_t, phi),    d L(theta_K) / d phi

`Unrolled` is exact. `FirstOrder` drops every second derivative, `Truncated(k)` keeps those of the last k steps, and
`Implicit` forgets the path and differentiates the resting point (implicit.py). Each is an object given to a learner that
descends, as a solver of differential equations takes an adjoint.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from quickstudy.errors import ArgumentError
from quickstudy.learners.descend.recompute import recomputed
from quickstudy.network import Parameters

if TYPE_CHECKING:
    from quickstudy.episode import Episode, Examples
    from quickstudy.learners.descend.descent import Descent, DescentState
    from quickstudy.learners.learner import Loss, Measures


class Hypergradient(ABC):
    """The interface of a within-task derivative. `second_order` says whether it differentiates inner gradients."""

    second_order = True
    every_step = True  # whether the query loss may be weighed after every step
    compiles = True  # whether `torch.compile` keeps its gradient

    def inner_gradient(self, gradient: Callable[[Parameters], Parameters], theta: Parameters) -> Parameters:
        """The inner gradient at theta, as this derivative sees it."""
        return gradient(theta)

    def descend(self, learner: Descent, state: DescentState, support: Examples, steps: int) -> DescentState:
        """`steps` inner steps from `state`."""
        for _ in range(steps):
            state = learner.advance(state, support)
        return state

    def measured_loss(self, learner: Descent, episode: Episode, criterion: Loss) -> tuple[Tensor, Measures]:
        """The query loss after the descent, with this derivative."""
        return criterion(learner(episode.support, episode.query.x), episode.query.y), {}


@dataclass(frozen=True)
class Unrolled(Hypergradient):
    """Backpropagation through all inner steps: exact.

    Args:
        recompute: keep only each step's inputs and compute the step again in the backward pass. The same gradient in a
            fraction of the memory, for about one more forward pass. torch.utils.checkpoint does not work under torch.func.

    Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, eq. 1.
    """

    recompute: bool = False

    @property
    def compiles(self) -> bool:  # type: ignore[override]
        """torch.compile drops the backward of an autograd.Function, silently: gradient 0."""
        return not self.recompute

    def descend(self, learner: Descent, state: DescentState, support: Examples, steps: int) -> DescentState:
        for _ in range(steps):
            state = recomputed(learner, "advance", state, support) if self.recompute else learner.advance(state, support)
        return state


@dataclass(frozen=True)
class FirstOrder(Hypergradient):
    """The inner gradients as constants:  theta_{t+1} = theta_t - a stop(g(stop(theta_t))).

    Then d theta_K / d phi = I for the initialisation, while learned rates keep their exact last-step term -stop(g). The
    cheapest in memory: no step keeps its graph.

    Source: Finn, Abbeel & Levine 2017, section 5.2; Nichol, Achiam & Schulman, "On First-Order Meta-Learning", 2018.
    """

    second_order = False

    def inner_gradient(self, gradient: Callable[[Parameters], Parameters], theta: Parameters) -> Parameters:
        with torch.no_grad():
            return stop(gradient(stop(theta)))


@dataclass(frozen=True)
class Truncated(Hypergradient):
    """Backpropagation through the last k inner steps; the earlier ones count as the identity.

        theta_{K-k}  <-  phi + stop(theta_{K-k} - phi)

    Cutting the state off would leave no gradient to the initialisation at all. `Truncated(0)` is first order.

    Source: Shaban et al., "Truncated Back-propagation for Bilevel Optimization", AISTATS 2019; the identity is our departure,
    since there phi is a hyperparameter of every step and here it is the start.
    """

    k: int

    every_step = False

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ArgumentError("Truncated(k)", expected="k >= 0 steps", got=str(self.k), do="Truncated(0) is first order.")

    def descend(self, learner: Descent, state: DescentState, support: Examples, steps: int) -> DescentState:
        early = max(steps - self.k, 0)
        state = at_rest(learner, state, support, early)
        if early:
            phi = learner.initial()
            state = {**state, "theta": {name: phi[name] + (theta - phi[name]).detach() for name, theta in state["theta"].items()}}
        for _ in range(steps - early):
            state = learner.advance(state, support)
        return state


def at_rest(learner: Descent, state: DescentState, support: Examples, steps: int) -> DescentState:
    """`steps` inner steps without a graph."""
    with torch.no_grad():
        for _ in range(steps):
            state = stop(learner.advance(stop(state), support))
    return state


def stop(tree: Any) -> Any:
    """The same tensors, cut from the graph."""
    return torch.utils._pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)
