"""Recomputation: a step of the inner loop that keeps its inputs and is computed again in the backward pass.

    forward   y = f(inputs), without a graph; keep `inputs`
    backward  g -> (df/dinputs)' g

An `autograd.Function` sees only the tensors that are its arguments: one that it closes over gets gradient 0, silently. So every
tensor that the inner problem depends on (`InnerProblem.inputs`) is an argument. torch.utils.checkpoint works only outside of
torch.func's transforms, and saves less memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.forward.autocast import under_this_autocast
from quickstudy.forward.call import Parameters
from quickstudy.forward.derivatives import pullback
from quickstudy.learners.descend.inner_problem import InnerProblem, Iterate


def recomputed(step: Callable[[InnerProblem, Iterate], Iterate], problem: InnerProblem, at: Iterate) -> Iterate:
    """step(problem, at), recomputed in the backward pass; differentiable in `at` and in all of the problem's inputs."""
    structures: list[pytree.TreeSpec] = []

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        before, inputs = pytree.tree_unflatten(leaves, structure)
        out, spec = pytree.tree_flatten(step(problem.remade(inputs), before))
        structures[:] = [spec]
        return tuple(out)

    leaves, structure = pytree.tree_flatten((at, problem.inputs()))
    out = _Recomputed.apply(under_this_autocast(function), *leaves)
    return pytree.tree_unflatten(out, structures[0])


class _Recomputed(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(function: Callable, *leaves: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():  # an input returned as it came may not be saved: hand out a copy
            return tuple(out.clone() if any(out is leaf for leaf in leaves) else out for out in function(*leaves))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> Any:
        leaves = list(ctx.saved_tensors)
        wanted = {str(i): leaf for i, leaf in enumerate(leaves) if leaf.is_floating_point() and ctx.needs_input_grad[i + 1]}

        def outputs(inputs: Parameters) -> list[Tensor]:
            replaced = [inputs.get(str(i), leaf) for i, leaf in enumerate(leaves)]
            with torch.enable_grad():  # the inner gradient is differentiated
                return [out for out in ctx.function(*replaced) if out.is_floating_point()]

        found = pullback(outputs, wanted)[1]([one for one in g if one is not None and one.is_floating_point()])
        return None, *(found.get(str(i)) for i in range(len(leaves)))
