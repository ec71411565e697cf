"""One way to run a network, and what a network must be to be run so.

    call(network, parameters, x, rules)  =  network_parameters(x), its norms and dropouts under `rules`

`functional_call` puts `parameters` and clones of the buffers in place for the length of the call; the module keeps its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.stateless import _reparametrize_module

from quickstudy.errors import UnsupportedError
from quickstudy.rules import Rules

Parameters = dict[str, Tensor]


def call(network: nn.Module, parameters: Mapping[str, Tensor], x: Any, rules: Rules) -> Any:
    """Run `network` on x with `parameters` by name (the module's own where one is not named; buffers too), under `rules`.

    A mapping x is spread over the network's keyword arguments. Nothing of the module is written to.
    """
    own = dict(network.named_buffers())
    clones = {name: buffer.clone() for name, buffer in own.items()}
    args, kwargs = ((), dict(x)) if isinstance(x, Mapping) else ((x,), {})
    with rules:
        answer = functional_call(network, {**clones, **parameters}, args, kwargs)
    for index, target in enumerate(rules.targets):
        rules.targets[index] = next((own[name] for name, clone in clones.items() if clone is target), target)
    return answer


def call_method(module: nn.Module, name: str, tensors: Mapping[str, Tensor], *args: Any) -> Any:
    """`module.name(*args)` with `tensors` (parameters or buffers, by name) in the place of the module's own.

    What `functional_call` does for `forward`; torch.compile traces it, and would not trace a module made here to hold the method.
    """
    with _reparametrize_module(module, dict(tensors), tie_weights=True):
        return getattr(module, name)(*args)


def skeleton(module: nn.Module) -> nn.Module:
    """A copy of the module's structure that shares every tensor with it: what a second thread needs.

    `functional_call` swaps tensors inside a module, so two threads cannot use one. A meta-device copy would untie tied
    weights; this one keeps every tensor, and so every tie.
    """
    tensors = [*module.parameters(), *module.buffers()]
    tensors += [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def plain(argument: str, network: nn.Module) -> nn.Module:
    """The network itself, or UnsupportedError where it is compiled or wrapped."""
    wrapped = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
    name = type(network).__name__
    if name in wrapped:
        raise UnsupportedError(
            argument,
            expected="a plain nn.Module",
            got=f"one wrapped by {name}",
            do=f"Pass `{argument}.{wrapped[name]}`: quickstudy compiles and spreads the whole meta-step itself (executor=).",
        )
    if not isinstance(network, nn.Module):
        raise UnsupportedError(argument, expected="an nn.Module", got=type(network).__name__, do="Pass the network itself.")
    return network
