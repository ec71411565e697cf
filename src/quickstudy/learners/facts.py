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
    given = dict(getattr(learner, "arguments", {}))
    defaults = inspect.signature(type(learner).__init__).parameters
    name = given.pop("name", None) or type(learner).__name__
    changed = {
        key: value
        for key, value in given.items()
        if key != "self" and key in defaults and repr(value) != repr(defaults[key].default)
    }
    named = sum(_count(value) for value in changed.values() if isinstance(value, nn.Module))
    whole = _count(learner)
    phi = "" if whole == named else f"; {whole:,} parameters"
    return f"{name}({', '.join(f'{key}={_shown(value)}' for key, value in changed.items())}{phi})".replace("(; ", "(")


def _shown(value: Any) -> str:
    if isinstance(value, nn.Module):
        own = repr(value)
        return own if "\n" not in own and len(own) <= LONGEST else f"{type(value).__name__}({_count(value):,} parameters)"
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple) and value and all(isinstance(one, nn.Module) for one in value):
        return f"[{len(value)} of {type(value[0]).__name__}]"
    text = " ".join(getattr(value, "__qualname__", repr(value)).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _count(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters() if not is_lazy(one))
