"""The within-task derivative: how d theta_K / d phi passes back through the inner loop.

    theta_0 = phi,    theta_{t+1} = step(theta_t, phi),    d L(theta_K) / d phi

`Unrolled` is exact. `FirstOrder` drops every second derivative, `Truncated(k)` keeps those of the last k steps, and
`Implicit` ignores the path and differentiates the minimum it leads to (implicit.py). Each is an object given to a learner that
descends, as an ODE solver takes an adjoint method. It sees functions (`InnerProblem`), not the learner.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import Parameters
from quickstudy.forward.derivatives import stop
from quickstudy.learners.descend.inner_problem import InnerProblem, Iterate
from quickstudy.learners.descend.recompute import recomputed
from quickstudy.learners.outcome import Log


class Hypergradient(ABC):
    """The interface of a within-task derivative. `second_order` says whether it differentiates inner gradients."""

    second_order = True
    every_step = True  # whether the loss may include the query loss after every step
    compiles = True  # whether `torch.compile` keeps its gradient

    def gradient(self, problem: InnerProblem, theta: Parameters, t: int) -> Parameters:
        """The inner gradient at theta, as this derivative sees it."""
        return problem.gradient(theta, t)

    def step(self, problem: InnerProblem, at: Iterate, t: int) -> Iterate:
        """One inner step."""
        return problem.step(at, self.gradient(problem, at.theta, t), t)

    def descend(self, problem: InnerProblem, at: Iterate, steps: int, first: int = 0) -> Iterate:
        """`steps` inner steps from `at`, numbered from `first`."""
        for t in range(first, first + steps):
            at = self.step(problem, at, t)
        return at

    def loss(self, problem: InnerProblem, steps: int) -> tuple[Tensor, Log]:
        """The task's loss after the descent, with this derivative, and a log of other measures."""
        return problem.outer_loss(self.descend(problem, problem.start(), steps).theta, steps), {}


@checked
@dataclass(frozen=True)
class Unrolled(Hypergradient):
    """Backpropagation through all inner steps: exact.

    Args:
        recompute: keep only each step's inputs and compute the step again in the backward pass. The same gradient in a
            fraction of the memory, for about one more forward pass.

    Source: Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning", ICML 2017, eq. 1.

    Examples:
        >>> network, task = qs.models.mlp(4, 3, hidden=(8,)), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> learners = [qs.MAML(network, inner_steps=3, hypergradient=qs.Unrolled(recompute=r)) for r in (False, True)]
        >>> g, h = (qs.meta_gradient(learner, [task])[1] for learner in learners)
        >>> all(torch.allclose(g[name], h[name], atol=1e-5) for name in g)
        True
    """

    recompute: bool = False

    @property
    def compiles(self) -> bool:  # type: ignore[override]
        """False with `recompute`: torch.compile silently drops the backward of an autograd.Function (gradient 0)."""
        return not self.recompute

    def step(self, problem: InnerProblem, at: Iterate, t: int) -> Iterate:
        if not self.recompute:
            return super().step(problem, at, t)
        return recomputed(lambda problem, at: Hypergradient.step(self, problem, at, t), problem, at)


@checked
@dataclass(frozen=True)
class FirstOrder(Hypergradient):
    """The inner gradients as constants:  theta_{t+1} = theta_t - a stop(g(stop(theta_t))).

    Then d theta_K / d phi = I for the initialisation, while learned rates keep their exact last-step term -stop(g). The
    cheapest in memory: no step keeps its graph.

    Source: Finn, Abbeel & Levine 2017, section 5.2; Nichol, Achiam & Schulman, "On First-Order Meta-Learning", 2018.

    Examples:
        >>> learner = qs.MAML(torch.nn.Linear(4, 3), hypergradient=qs.FirstOrder())  # as in qs.FOMAML
        >>> learner.exact_gradient
        False
    """

    second_order = False

    def gradient(self, problem: InnerProblem, theta: Parameters, t: int) -> Parameters:
        with torch.no_grad():
            return stop(problem.gradient(stop(theta), t))


@checked
@dataclass(frozen=True)
class Truncated(Hypergradient):
    """Backpropagation through the last k inner steps; the earlier ones count as the identity.

        theta_{K-k}  <-  phi + stop(theta_{K-k} - phi)

    Detaching the state would leave no gradient to the initialisation at all. `Truncated(0)` is first order.

    Args:
        k: number of steps to backpropagate through.

    Raises:
        ArgumentError: k below 0.

    Source: Shaban et al., "Truncated Back-propagation for Bilevel Optimization", AISTATS 2019; the identity is our departure,
    since there phi is a hyperparameter of every step and here it is the start.

    Examples:
        >>> network, task = qs.models.mlp(4, 3, hidden=(8,)), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> learners = [qs.MAML(network, inner_steps=3, hypergradient=h) for h in (qs.Truncated(0), qs.FirstOrder())]
        >>> g, h = (qs.meta_gradient(learner, [task])[1] for learner in learners)
        >>> all(torch.allclose(g[name], h[name], atol=1e-5) for name in g)
        True
    """

    k: int

    every_step = False

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ArgumentError("Truncated(k)", expected="k >= 0 steps", got=str(self.k), do="Truncated(0) is first order.")

    def descend(self, problem: InnerProblem, at: Iterate, steps: int, first: int = 0) -> Iterate:
        early = max(steps - self.k, 0)
        phi, at = at.theta, without_graph(problem, at, early)
        if early:
            at = at._replace(theta={name: phi[name] + (theta - phi[name]).detach() for name, theta in at.theta.items()})
        return super().descend(problem, at, steps - early, first + early)


def without_graph(problem: InnerProblem, at: Iterate, steps: int) -> Iterate:
    """`steps` inner steps without a graph."""
    with torch.no_grad():
        for t in range(steps):
            at = stop(at)
            at = stop(problem.step(at, problem.gradient(at.theta, t), t))
    return at
