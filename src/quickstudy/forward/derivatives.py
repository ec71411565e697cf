"""Derivatives taken within a forward pass: by plain autograd, or inside vmap and compile by torch.func.

Plain autograd handles everything that torch can differentiate twice; inside a transform only torch.func is correct. Both build a
graph if gradients are enabled, so that the outer derivative passes through, and none otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.forward._torch import transformed
from quickstudy.forward.call import Parameters


def gradient_of(objective: Callable[[Parameters], tuple[Tensor, Any]], at: Parameters) -> tuple[Parameters, Tensor, Any]:
    """(d value/d at, value, aux)  for  (value, aux) = objective(at),  value a scalar, aux a tree of tensors."""
    if transformed():
        found: Any = torch.func.grad_and_value(objective, has_aux=True)(at)
        g, (value, aux) = found
        return g, value, aux
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        leaves = _leaves(at, graph)
        value, aux = objective(leaves)
        g = _gradients([value], list(leaves.values()), None, graph)
    return dict(zip(at, g, strict=True)), value if graph else value.detach(), aux


def pullback(function: Callable[[Parameters], Any], at: Parameters) -> tuple[Any, Callable[[Any], Parameters]]:
    """(value, u -> (d function/d at)' u)  for a function of a dict of tensors, whose value is a tree of tensors."""
    if transformed():
        found: Any = torch.func.vjp(function, at)
        return found[0], lambda u: found[1](u)[0]
    graph = torch.is_grad_enabled()
    with torch.enable_grad():
        leaves = _leaves(at, graph)
        value = function(leaves)
    outputs = pytree.tree_leaves(value)

    def pull_back(u: Any) -> Parameters:
        with torch.enable_grad():
            g = _gradients(outputs, list(leaves.values()), pytree.tree_leaves(u), graph, retain=True)
        return dict(zip(at, g, strict=True))

    return value if graph else stop(value), pull_back


def stop(tree: Any) -> Any:
    """The same tensors, cut from the graph."""
    return pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, tree)


def _leaves(at: Parameters, graph: bool) -> Parameters:
    # A view is a node of its own: theta_0 is phi, and the objective may hold phi elsewhere too (a proximal term).
    return {name: t.view_as(t) if graph and t.requires_grad else t.detach().requires_grad_() for name, t in at.items()}


def _gradients(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], u: Sequence[Tensor] | None, graph: bool, retain: bool = False
) -> Sequence[Tensor]:
    """torch.autograd.grad, 0 where an output does not depend on an input."""
    reached = [i for i, one in enumerate(outputs) if one.requires_grad]
    if not reached:
        return [torch.zeros_like(one) for one in inputs]
    return torch.autograd.grad(
        [outputs[i] for i in reached],
        inputs,
        None if u is None else [u[i] for i in reached],
        create_graph=graph,
        retain_graph=graph or retain,
        materialize_grads=True,
    )
