"""How an object was made: the function or class, and its arguments, remembered on the object.

    @remembered
    def MAML(network, *, inner_lr=0.1, inner_steps=1): ...

    call_of(MAML(network, inner_lr=0.4))  ->  Call("MAML", {"inner_lr": 0.4, "inner_steps": 1}, given=("network",))

What a text can describe is kept: numbers, text, paths (as absolute ones), lists of them, and quickstudy's own settings. Of
anything else (arrays, networks, functions, objects of the user's own) only the argument's name is kept.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast

from quickstudy.arguments import types_of, union_parts

Function = TypeVar("Function", bound=Callable)
WORDS = ("random", "alphabet", "time")  # splits by name, whatever the folders here are called
LONGEST = 2000  # items of a list that is kept: names of classes, and no data


@dataclass(frozen=True)
class Call:
    """A call as plain data.

    Attributes:
        name: of the function or class.
        arguments: those that a text can describe, with their defaults.
        given: the names of the others.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()


def remembered(function: Function) -> Function:
    """The function, which leaves its call on what it returns."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def remembering(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        made.__dict__["call"] = call(function.__name__, function, signature.bind(*args, **kwargs))
        return made

    return cast("Function", remembering)


def call(name: str, function: Callable, bound: inspect.BoundArguments) -> Call:
    """The call of a function, or of the class `name` by its `__init__`, with these arguments."""
    bound.apply_defaults()
    types = types_of(inspect.unwrap(function))
    arguments, given = {}, []
    for key, value in bound.arguments.items():
        if key == "self":
            continue
        try:
            if types.get(key) is Any and not isinstance(value, str | int | float | None):
                raise TypeError("data")
            arguments[key] = plain(_absolute(value, types.get(key)))
        except TypeError:
            given.append(key)
    return Call(name, arguments, tuple(given))


def call_of(made: Any) -> Call | None:
    """The call that made an object; None where none is known."""
    return getattr(made, "__dict__", {}).get("call")


def plain(value: Any) -> Any:
    """A value as a text can describe it.

    Raises:
        TypeError: no text can.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple) and len(value) <= LONGEST:
        return [plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith("quickstudy."):
        return value
    raise TypeError(f"a {type(value).__name__}")


def _absolute(value: Any, kind: Any) -> Any:
    """A text that names a file or a folder as an absolute path. Where other texts are taken too, it names one that is there."""
    parts = set(union_parts(kind))
    if not isinstance(value, str) or Path not in parts:
        return value
    only_paths = parts <= {str, Path, NoneType, None}
    return os.path.abspath(value) if only_paths or (value not in WORDS and os.path.exists(value)) else value
