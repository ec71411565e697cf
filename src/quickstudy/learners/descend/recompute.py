"""Recomputation: a step of the inner loop that keeps its inputs and is computed again in the backward pass.

    forward   y = f(inputs), without a graph; keep `inputs`
    backward  g -> vjp(f, inputs)(g)

An `autograd.Function` sees only the tensors that are its arguments: one that it closes over gets gradient 0, silently. So a
recomputed method gets every parameter of its module as an argument, beside its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp
from torch.utils import _pytree as pytree

from quickstudy.network import call_method
from quickstudy.rules import Rules, active


def recomputed(module: nn.Module, method: str, *args: Any) -> Any:
    """`module.method(*args)`, recomputed in the backward pass; differentiable in args and in all of the module's parameters."""
    structures: list[pytree.TreeSpec] = []

    def function(*leaves: Tensor) -> tuple[Tensor, ...]:
        tensors, inputs = pytree.tree_unflatten(leaves, structure)
        out, spec = pytree.tree_flatten(call_method(module, method, tensors, *inputs))
        structures[:] = [spec]
        return tuple(out)

    leaves, structure = pytree.tree_flatten((dict(module.named_parameters()), args))
    out = _Recomputed.apply(in_this_context(function), *leaves)
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
        wanted = [i for i, leaf in enumerate(leaves) if leaf.is_floating_point() and ctx.needs_input_grad[i + 1]]

        def outputs(*inputs: Tensor) -> tuple[Tensor, ...]:
            for i, value in zip(wanted, inputs, strict=True):
                leaves[i] = value
            return tuple(out for out in ctx.function(*leaves) if out.is_floating_point())

        pull = vjp(outputs, *(leaves[i] for i in wanted))[1]
        gradients = pull(tuple(one for one in g if one is not None and one.is_floating_point()))
        answer: list[Tensor | None] = [None] * len(leaves)
        for i, gradient in zip(wanted, gradients, strict=True):
            answer[i] = gradient
        return None, *answer


def in_this_context(function: Callable) -> Callable:
    """The function under the autocast state and the episode's rules of now, whenever it runs: a backward pass has neither."""
    states = [
        torch.autocast(device, dtype=torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
        if torch.is_autocast_enabled(device)
    ]
    outer = active()

    def run(*args: Any) -> Any:
        with ExitStack() as stack:
            if outer is not None and active() is None:  # the seed is in the descent's own state
                stack.enter_context(Rules(outer.norm, episode=outer.episode))
            for state in states:
                stack.enter_context(state)
            return function(*args)

    return run
