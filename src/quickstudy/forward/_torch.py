"""Every private API of torch that a forward pass needs, in one file: the first place to look when torch changes.

Beside it the package uses `torch.utils._pytree` and `torch._foreach_*`, which are private by name but in common use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils.checkpoint import CheckpointFunction

weight_norm = torch._weight_norm
REENTRANT_CHECKPOINT = CheckpointFunction.forward.__code__


def vmapped() -> bool:
    """Whether this code runs inside vmap, or inside compile, which traces one."""
    if torch.compiler.is_compiling():  # which cannot trace the next line
        return True
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)


def transformed() -> bool:
    """Whether this code runs inside a transform of torch.func or compile, where only torch.func takes derivatives."""
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None


def unreadable(tensor: Tensor) -> bool:
    """Whether a tensor's value cannot be read here: inside vmap, grad or compile, or if it has none."""
    return torch.compiler.is_compiling() or tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def swapped(module: nn.Module, tensors: Mapping[str, Tensor]) -> AbstractContextManager[None]:
    """Replace the module's tensors by name, as `functional_call` does, but so that compile can trace it.

    A tensor that two modules hold is replaced in both. A module with two names is replaced once: torch's own `tie_weights`
    replaces it under each name, and then restores what it had itself put there. Only such a module is read by `id`, by which
    compile tells learners of one structure apart.
    """
    if len(list(module.modules())) == len(list(module.named_modules(remove_duplicate=False))):
        return _reparametrize_module(module, dict(tensors), tie_weights=True)
    held = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers(remove_duplicate=False))}
    owners = {name: (id(module.get_submodule(name.rpartition(".")[0])), name.rpartition(".")[2]) for name in held}
    first = {owner: name for name, owner in reversed(owners.items())}
    given = {id(held[name]): tensor for name, tensor in tensors.items()}
    everywhere = {name: given[id(held[name])] for name in first.values() if id(held[name]) in given}
    return _reparametrize_module(module, everywhere, tie_weights=False)


def entered(function: Any) -> Callable:
    """A copy of a composite Python function of torch that skips the check for function modes.

    A mode is off while it answers, so it would miss the calls that such a function makes. The copy runs with the mode on again.
    """
    unasked = {name: (lambda *_: False) for name in function.__globals__ if name.startswith("has_torch_function")}
    inner = FunctionType(function.__code__, {**function.__globals__, **unasked}, function.__name__, function.__defaults__)
    inner.__kwdefaults__ = function.__kwdefaults__
    return inner


# ---- torch.utils.checkpoint ------------------------------------------------------------------------------------------


def open_checkpoints() -> list[Any]:
    """The frames of `torch.utils.checkpoint` (not reentrant) that are open now, the innermost first.

    Their hooks on saved tensors are on autograd's own stack; they are popped, inspected and pushed back.
    """
    api, pairs = torch._C._autograd, []
    while (pair := api._top_saved_tensors_default_hooks(True)) is not None:
        pairs.append(pair)
        api._pop_saved_tensors_default_hooks()
    for pair in reversed(pairs):
        api._push_saved_tensors_default_hooks(*pair)
    hooks = (pack for pack, _ in pairs if pack.__qualname__ == "_checkpoint_hook.__init__.<locals>.pack_hook")
    return [hook.__closure__[0].cell_contents for hook in hooks]
