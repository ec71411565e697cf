"""The one way to run a network: its input, its tensors, its output.

    apply(network, x)                       network(x), or network(**x) where x is a mapping
    call(network, tensors, x, forward)      network_tensors(x) under `forward`: other tensors, on a copy of its own

The output must be a tensor. If it is a tuple, a mapping or an object, say which part is meant: wrap the network as
`quickstudy.models.Read(network, output="logits")`. Any other output is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from quickstudy.errors import UnsupportedError
from quickstudy.forward._torch import swapped
from quickstudy.forward.blueprint import Blueprint
from quickstudy.forward.mode import Forward

Parameters = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


def apply(network: Any, x: Any) -> Tensor:
    """The network's answer for x; a mapping is passed as keyword arguments.

    Raises:
        UnsupportedError: the output is not a tensor; the network does not take what x holds.
    """
    if not isinstance(x, Mapping):
        return tensor_of(network(x), network)
    try:
        output = network(**x)
    except TypeError as error:
        _check_takes(network, x, error)
        raise
    return tensor_of(output, network)


def _check_takes(network: Any, x: Mapping[str, Any], error: TypeError) -> None:
    """Raise UnsupportedError, from the error of its call, for a network without arguments of these names."""
    try:
        inspect.signature(getattr(network, "forward", network)).bind(**x)
    except TypeError:
        raise UnsupportedError(
            "network",
            expected=f"one that reads {' and '.join(x)}, as the tasks give them",
            got=type(network).__name__,
            do="Take one whose forward has these arguments; on the command line --network byte_conv for texts.",
        ) from error


def tensor_of(output: Any, network: Any) -> Tensor:
    """The output itself, if it is a tensor.

    Raises:
        UnsupportedError: it is not.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        held = f"a {type(output).__name__} of {[str(key) for key in output][:6]}"
    elif isinstance(output, tuple | list):
        held = f"a {type(output).__name__} of {len(output)}"
    else:
        held = f"a {type(output).__name__} with {list(getattr(output, '__dict__', {}))[:6]}"
    raise UnsupportedError(
        "network",
        expected="a network whose output is a tensor",
        got=f"{type(network).__name__}, whose output is {held}",
        do="Say which part is meant: quickstudy.models.Read(network, output='logits'), output=0 for the first of a tuple.",
    )


def run(network: nn.Module, tensors: Mapping[str, Tensor], x: Any, training: bool, plan: Blueprint | None = None) -> Tensor:
    """network_tensors(x) on a copy made for this call; `plan` is the network's blueprint if the caller has one."""
    if torch.compiler.is_compiling():  # it cannot trace the copies, and what it compiles is a private copy already
        args, kwargs = ((), dict(x)) if isinstance(x, Mapping) else ((x,), {})
        return tensor_of(functional_call(network, dict(tensors), args, kwargs), network)
    return apply((plan or Blueprint(network, training))(tensors), x)


def call(network: nn.Module, tensors: Mapping[str, Tensor], x: Any, forward: Forward, plan: Blueprint | None = None) -> Tensor:
    """Run `network` on x under `forward`, with `tensors` (parameters or buffers, by name) in place of its own.

    The module itself is not changed.

    Examples:
        >>> from quickstudy.forward import Context, Forward, call
        >>> network = torch.nn.Linear(2, 1)
        >>> call(network, {"weight": torch.zeros(1, 2)}, torch.randn(3, 2), Forward(Context())).shape
        torch.Size([3, 1])
    """
    with forward:
        return run(network, tensors, x, forward.context.training, plan)


def with_tensors(module: M, tensors: Mapping[str, Tensor], function: Callable[[M], T]) -> T:
    """function(copy), where the copy holds `tensors` (parameters or buffers, by name) in place of the module's own."""
    if torch.compiler.is_compiling():
        with swapped(module, tensors):
            return function(module)
    return function(Blueprint(module)(tensors))


def plain(argument: str, network: nn.Module) -> nn.Module:
    """The network itself, if it is a plain module.

    Raises:
        UnsupportedError: it is compiled, wrapped or not an nn.Module.
    """
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
