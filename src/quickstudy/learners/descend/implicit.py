"""Implicit gradients: differentiate where the inner loop rests, not how it came there.

At rest  g(theta*, phi) = d/dtheta [ L(theta) + strength/2 ||theta - phi||^2 ] = 0,  so

    d theta*/d phi  =  - H^{-1}  dg/dphi,        H = dg/dtheta                                         (1)
    d L_query/d phi =  - u' dg/dphi,             H u = d L_query/d theta                               (2)

Memory does not grow with the number of inner steps, and the path to theta* may be anything.

Two forms of one idea: `Implicit.descend` attaches theta* to phi by (1), for whoever composes with `learn`; the executors' loss
is the surrogate (2), whose value is L and whose gradient is (2). The surrogate needs no autograd.Function, so it compiles, and
it returns the solver's residual as a measure.

Source: Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019, eq. 6-7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vjp
from torch.utils import _pytree as pytree

from quickstudy.learners.descend.hypergradient import Hypergradient, at_rest, stop
from quickstudy.learners.descend.recompute import in_this_context
from quickstudy.learners.descend.solver import ConjugateGradient, Solver, dot
from quickstudy.network import Parameters, call_method

if TYPE_CHECKING:
    from quickstudy.episode import Episode, Examples
    from quickstudy.learners.descend.descent import Descent, DescentState
    from quickstudy.learners.learner import Loss, Measures


Gradient = Callable[[list[Tensor]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Implicit(Hypergradient):
    """The derivative of the resting point, by the implicit function theorem.

    It is exact where the inner loop has come to rest and the solver has converged; the proximal `strength` of the learner makes
    both quick. The relative residual of the solver is recorded as the measure "residual".

    Args:
        solver: `ConjugateGradient(steps=, tolerance=)`, `Neumann(terms=)` or `Exact()`.
    """

    solver: Solver = ConjugateGradient()

    every_step = False

    def descend(self, learner: Descent, state: DescentState, support: Examples, steps: int) -> DescentState:
        state = at_rest(learner, state, support, steps)
        if not torch.is_grad_enabled():
            return state
        phi = dict(learner.named_parameters())
        leaves, structure = pytree.tree_flatten((state["theta"], phi, support, state.get("dropout", {})))
        problem = _Problem(learner, self.solver, structure)
        theta = _AtRest.apply(problem, in_this_context(problem.gradient), *leaves)
        return {**state, "theta": dict(zip(state["theta"], theta, strict=True))}

    def measured_loss(self, learner: Descent, episode: Episode, criterion: Loss) -> tuple[Tensor, Measures]:
        support, query = episode.support, episode.query
        state = at_rest(learner, learner.begin(support), support, learner.inner_steps)
        phi: Parameters = dict(learner.named_parameters())

        def outer(theta: Parameters, phi: Parameters) -> Tensor:
            return call_method(learner, "query_loss", phi, {**state, "theta": theta}, support, query, criterion)

        def g(theta: Parameters, phi: Parameters) -> Parameters:
            return call_method(learner, "inner_gradient", phi, {**state, "theta": theta}, support)

        theta, fixed = stop(state["theta"]), stop(phi)
        v, loss = grad_and_value(outer)(theta, fixed)
        H = lambda u: vjp(lambda t: g(t, fixed), theta)[1](u)[0]  # noqa: E731  H is symmetric
        u, residual = self.solver.solve(H, v, stop(learner.first_rate()))
        surrogate = outer(theta, phi) - dot(stop(u), g(theta, phi))  # (2)
        return loss.detach() + surrogate - surrogate.detach(), {"residual": residual.detach()}


@dataclass
class _Problem:
    """What the backward pass of theta* needs beside tensors."""

    learner: Descent
    solver: Solver
    structure: pytree.TreeSpec

    def gradient(self, leaves: Any) -> tuple[Tensor, ...]:
        """g(theta, phi), as a tuple, from the flat inputs."""
        theta, phi, support, dropout = pytree.tree_unflatten(leaves, self.structure)
        state = {"theta": theta} | ({"dropout": dropout} if dropout else {})
        return tuple(call_method(self.learner, "inner_gradient", phi, state, support).values())


class _AtRest(torch.autograd.Function):
    """theta* in the forward pass, (1) in the backward pass. Every tensor that g depends on is an argument."""

    generate_vmap_rule = True

    @staticmethod
    def forward(problem: _Problem, gradient: Gradient, *leaves: Tensor) -> tuple[Tensor, ...]:
        theta = pytree.tree_unflatten(leaves, problem.structure)[0]
        return tuple(value.clone() for value in theta.values())

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.problem, ctx.gradient = inputs[:2]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *v: Tensor) -> Any:
        problem, gradient, leaves = ctx.problem, ctx.gradient, list(ctx.saved_tensors)
        names = list(pytree.tree_unflatten(leaves, problem.structure)[0])
        n = len(names)
        wanted = [i for i in range(n, len(leaves)) if leaves[i].is_floating_point() and ctx.needs_input_grad[i + 2]]

        def H(u: Parameters) -> Parameters:
            pull = vjp(lambda *theta: gradient([*theta, *leaves[n:]]), *leaves[:n])[1]
            return dict(zip(names, pull(tuple(u.values())), strict=True))

        def g(*inputs: Tensor) -> tuple[Tensor, ...]:
            values = list(leaves)
            for i, value in zip(wanted, inputs, strict=True):
                values[i] = value
            return gradient(values)

        rate = problem.learner.first_rate().detach()
        u, _ = problem.solver.solve(H, dict(zip(names, v, strict=True)), rate)
        pull = vjp(g, *(leaves[i] for i in wanted))[1]
        answer: list[Tensor | None] = [None] * len(leaves)
        for i, one in zip(wanted, pull(tuple(-u[name] for name in names)), strict=True):
            answer[i] = one
        return None, None, *answer
