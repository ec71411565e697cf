"""InnerProblem: the within-task problem as functions, so that a hypergradient need not know the learner.

theta_0, s_0          =  start()                                    the start phi, and the rule's state
theta_{t+1}, s_{t+1}  =  step(theta_t, s_t, gradient(theta_t, t), t)
L                     =  outer_loss(theta_t, t)                     of theta after t steps
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from quickstudy.forward.call import Parameters


class Iterate(NamedTuple):
    """The state of a descent: theta, and the state of its rule (momenta)."""

    theta: Parameters
    rule: Any


class InnerProblem(NamedTuple):
    """One task's problem.

    Attributes:
        start: () -> the first iterate.
        gradient: (theta, t) -> d/dtheta of the inner objective.
        step: (iterate, gradient, t) -> the next iterate.
        outer_loss: (theta, t) -> the task's loss at theta, after t steps.
        rate: () -> the inner step size as one number, for solvers that need one.
        inputs: () -> every tensor that the functions depend on besides theta, for code that needs them as arguments.
        remade: inputs -> the same problem with these inputs.

    Examples:
        >>> from quickstudy.forward import Context
        >>> learner = qs.MAML(torch.nn.Linear(4, 3), inner_lr=0.1)
        >>> problem = learner.problem(qs.Examples(torch.randn(6, 4), torch.arange(6) % 3), Context())
        >>> at = problem.start()
        >>> g = problem.gradient(at.theta, 0)
        >>> torch.allclose(problem.step(at, g, 0).theta["bias"], at.theta["bias"] - 0.1 * g["bias"])
        True
    """

    start: Callable[[], Iterate]
    gradient: Callable[[Parameters, int], Parameters]
    step: Callable[[Iterate, Parameters, int], Iterate]
    outer_loss: Callable[[Parameters, int], Tensor]
    rate: Callable[[], Tensor]
    inputs: Callable[[], Any]
    remade: Callable[[Any], InnerProblem]
