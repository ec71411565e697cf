"""Implicit gradients: differentiate the minimum that the inner loop reaches, not the path to it.

At the minimum  g(theta*, phi) = d/dtheta [ L(theta) + lambda/2 ||theta - phi||^2 ] = 0,  so

    d theta*/d phi  =  - H^{-1}  dg/dphi,        H = dg/dtheta                                         (1)
    d L_query/d phi =  - u' dg/dphi,             H u = d L_query/d theta                               (2)

Memory does not grow with the number of inner steps, and the path to theta* does not matter.

There are two implementations: `Implicit.descend` attaches theta* to phi by (1), for code that calls `learner(support, x)`; the
executors use a surrogate loss with value L and gradient (2). The surrogate needs no autograd.Function, so it compiles, and it
logs the solver's residual.

Source: Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019, eq. 6-7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arguments import checked
from quickstudy.forward.autocast import under_this_autocast
from quickstudy.forward.call import Parameters
from quickstudy.forward.derivatives import gradient_of, pullback, stop
from quickstudy.learners.descend.hypergradient import Hypergradient, without_graph
from quickstudy.learners.descend.inner_problem import InnerProblem, Iterate
from quickstudy.learners.outcome import Log
from quickstudy.linear_solvers import ConjugateGradient, Solver, dot

Gradient = Callable[[list[Tensor]], Parameters]


@checked
@dataclass(frozen=True)
class Implicit(Hypergradient):
    """The derivative of the inner minimum, by the implicit function theorem.

    It is exact if the inner loop and the solver have converged; the learner's `proximal_weight` speeds up both. The relative
    residual of the solver is logged as "residual".

    Args:
        solver: `ConjugateGradient(steps=, tolerance=)`, `Neumann(terms=)`, `Exact()` or `Identity()`.

    Examples:
        >>> from quickstudy.linear_solvers import Exact
        >>> network, task = torch.nn.Linear(4, 3), qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> options = {"inner_lr": 0.2, "inner_steps": 80, "proximal_weight": 1.0}
        >>> learners = [qs.Descent(network, hypergradient=h, **options) for h in (qs.Implicit(Exact()), qs.Unrolled())]
        >>> g, h = (qs.meta_gradient(learner, [task])[1]["network.weight"] for learner in learners)
        >>> torch.allclose(g, h, atol=1e-3)  # the inner loop has converged
        True
    """

    solver: Solver = ConjugateGradient()

    every_step = False

    def descend(self, problem: InnerProblem, at: Iterate, steps: int, first: int = 0) -> Iterate:
        at = without_graph(problem, at, steps)
        if not torch.is_grad_enabled():
            return at
        leaves, structure = pytree.tree_flatten((at.theta, problem.inputs()))

        def gradient(leaves: Any) -> Parameters:
            theta, inputs = pytree.tree_unflatten(leaves, structure)
            return problem.remade(inputs).gradient(theta, steps)

        rest = _Rest(list(at.theta), self.solver, under_this_autocast(gradient), stop(problem.rate()))
        return at._replace(theta=dict(zip(at.theta, _AtRest.apply(rest, *leaves), strict=True)))

    def loss(self, problem: InnerProblem, steps: int) -> tuple[Tensor, Log]:
        theta = stop(without_graph(problem, problem.start(), steps).theta)
        with torch.no_grad():
            v = gradient_of(lambda at: (problem.outer_loss(at, steps), ()), theta)[0]
            H = pullback(lambda at: problem.gradient(at, steps), theta)[1]  # H is symmetric
            u, residual = self.solver.solve(H, v, stop(problem.rate()))
        value = problem.outer_loss(theta, steps)
        through = dot(stop(u), problem.gradient(theta, steps))
        return value - (through - through.detach()), {"residual": residual.detach()}  # (2)


@dataclass
class _Rest:
    """What the backward pass of theta* needs besides theta* and the inputs."""

    names: list[str]
    solver: Solver
    gradient: Gradient  # g of the flat theta and inputs
    rate: Tensor


class _AtRest(torch.autograd.Function):
    """theta* in the forward pass, (1) in the backward pass. Every tensor that g depends on is an argument."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rest: _Rest, *leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(value.clone() for value in leaves[: len(rest.names)])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.rest = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *v: Tensor) -> Any:
        rest, leaves = ctx.rest, list(ctx.saved_tensors)
        n = len(rest.names)
        floating = {str(i): leaf for i, leaf in enumerate(leaves) if leaf.is_floating_point()}
        wanted = {i: leaf for i, leaf in floating.items() if int(i) >= n and ctx.needs_input_grad[int(i) + 1]}

        def g(inputs: Parameters) -> Parameters:
            """The inner gradient as a function of the flat inputs, by their index."""
            with torch.enable_grad():
                found = rest.gradient([inputs.get(str(i), leaf) for i, leaf in enumerate(leaves)])
            return {str(i): found[name] for i, name in enumerate(rest.names)}

        H = pullback(g, {str(i): leaves[i] for i in range(n)})[1]
        u, _ = rest.solver.solve(H, {str(i): one for i, one in enumerate(v)}, rest.rate)
        found = pullback(g, wanted)[1]({i: -one for i, one in u.items()})
        return None, *(found.get(str(i)) for i in range(len(leaves)))
