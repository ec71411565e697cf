"""A learner in one line: its name, the arguments that differ from their defaults, and how many numbers phi has."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    from quickstudy.learners.learner import Learner

LONGEST = 60  # characters of an argument


def facts(learner: Learner) -> str:
    """The line, as in "MAML(network=MLP(1,923 parameters), inner_steps=5)".

    The parameters of phi are counted after it where they are not those of the modules that were named.
    """
    changed = _changed(learner)
    named = sum(parameters(value) for value in changed.values() if isinstance(value, nn.Module))
    whole = parameters(learner)
    phi = "" if whole == named else f"; {whole:,} parameters"
    return f"{title(learner)}({', '.join(f'{key}={_shown(value)}' for key, value in changed.items())}{phi})".replace("(; ", "(")


def title(learner: Learner) -> str:
    """The name of the learner."""
    return getattr(learner, "arguments", {}).get("name") or type(learner).__name__


def arguments(learner: Learner) -> dict[str, str]:
    """The arguments that differ from their defaults, each as short text."""
    return {key: _shown(value) for key, value in _changed(learner).items()}


def parameters(module: nn.Module) -> int:
    """How many numbers its parameters hold; those of lazy modules are not counted yet."""
    return sum(one.numel() for one in module.parameters() if not is_lazy(one))


def _changed(learner: Learner) -> dict[str, Any]:
    given, defaults = getattr(learner, "arguments", {}), inspect.signature(type(learner).__init__).parameters
    return {
        key: value
        for key, value in given.items()
        if key not in ("self", "name") and key in defaults and repr(value) != repr(defaults[key].default)
    }


def _shown(value: Any) -> str:
    if isinstance(value, nn.Module):
        own = repr(value)
        return own if "\n" not in own and len(own) <= LONGEST else f"{type(value).__name__}({parameters(value):,} parameters)"
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple) and value and all(isinstance(one, nn.Module) for one in value):
        return f"[{len(value)} of {type(value[0]).__name__}]"
    text = " ".join(getattr(value, "__qualname__", repr(value)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
