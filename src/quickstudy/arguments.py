"""Arguments that are checked where they come in: their types and ranges, as the signature declares them.

    @checked
    def search(steps: PositiveInt, rate: PositiveFloat = 0.1, how: Literal["best", "first"] = "best"): ...

An int is not a bool, a float is a finite number, a `Literal` is one of its values, `X | None` is either, a class of quickstudy is
an instance of it. The aliases below declare ranges. Other annotations are not judged: tensors, networks, functions.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin

from torch import Tensor

from quickstudy.errors import ArgumentError, UnsupportedError


class Range(NamedTuple):
    """The numbers from `low` to `high`; `open`: without `low` itself."""

    low: float
    high: float = math.inf
    open: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a number is in it."""
        return bool((value > self.low if self.open else value >= self.low) and value <= self.high)

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"above {self.low:g}" if self.open else f"of {self.low:g} or more"
        return f"from {self.low:g} to {self.high:g}"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, open=True)]
NonNegativeFloat = Annotated[float, Range(0)]
Probability = Annotated[float, Range(0, 1)]
Several = Annotated[int, Range(2)]

Checked = TypeVar("Checked", bound=Callable)


def checked(function: Checked) -> Checked:
    """A function, or a class by its `__init__`, whose arguments are checked before it runs."""
    target: Any = function.__init__ if isinstance(function, type) else function  # type: ignore[misc]
    signature = inspect.signature(target)

    @functools.wraps(target)
    def checking(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind_partial(*args, **kwargs).arguments
        except TypeError:  # the call itself says it better
            given = {}
        check_arguments(target, given)
        return target(*args, **kwargs)

    if not isinstance(function, type):
        return cast("Checked", checking)
    function.__init__ = checking  # type: ignore[misc]
    return cast("Checked", function)


def check_arguments(function: Callable, given: Mapping[str, Any]) -> None:
    """Raise ArgumentError, or UnsupportedError for a wrong class, unless each value is what the function's signature declares."""
    types, defaults = _declared(inspect.unwrap(function))
    for name, value in given.items():
        if name in types and value is not defaults.get(name, _NONE):
            _check(name, value, types[name], defaults.get(name, _NONE))


_NONE = object()


@functools.cache
def _declared(function: Callable) -> tuple[dict[str, Any], dict[str, Any]]:
    """The types and the defaults of a function's parameters."""
    types = types_of(function)
    parameters = inspect.signature(function).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    plain = {one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}
    return {name: types[name] for name in plain & types.keys()}, defaults


def types_of(function: Callable) -> dict[str, Any]:
    """The annotations of a function, or of a class, as types. A name that its module knows for type checkers alone counts as
    `object`.
    """
    module = vars(sys.modules[function.__module__]) if isinstance(function, type) else getattr(function, "__globals__", {})
    return inspect.get_annotations(function, locals=_Known(vars(builtins) | module), eval_str=True)


class _Known(dict):
    def __missing__(self, name: str) -> type:
        return object


def _check(name: str, value: Any, kind: Any, default: Any) -> None:
    if str in union_parts(kind) and any(map(_is_ours, union_parts(kind))):
        return  # a name or an object: the function knows the names
    reasons = _reasons(value, kind)
    if not reasons:
        return
    classes = [part for part in union_parts(kind) if isinstance(part, type) and part not in (int, float, str, bool, type(None))]
    error = UnsupportedError if classes and not isinstance(value, bool | int | float | str | None) else ArgumentError
    raise error(
        name,
        expected=" or ".join(dict.fromkeys(reason for reason in reasons if reason != "None" or len(reasons) == 1)),
        got=f"the class {value.__name__}" if isinstance(value, type) else repr(value)[:100],
        do="Give such a value." if default is _NONE else f"{default!r} is the default."[:150],
    )


def _is_ours(kind: Any) -> bool:
    """Whether it is a class of quickstudy, by which a value can be judged."""
    return isinstance(kind, type) and kind.__module__.startswith("quickstudy.") and not getattr(kind, "_is_protocol", False)


def union_parts(kind: Any) -> list[Any]:
    """The parts of a union, those of a union in it too."""
    if get_origin(kind) in (Union, UnionType):
        return [part for one in get_args(kind) for part in union_parts(one)]
    return [kind]


def _reasons(value: Any, kind: Any) -> list[str]:
    """What was expected, part by part of a union; nothing where the value is one of them, or cannot be judged."""
    reasons = []
    for part in union_parts(kind):
        reason = mismatch(value, part)
        if reason is None:
            return []
        reasons.append(reason)
    return reasons


def mismatch(value: Any, kind: Any) -> str | None:
    """What a type, no union, expects where the value is not of it; None where it is, or is not to be judged."""
    if kind is type(None) or kind is None:
        return None if value is None else "None"
    if get_origin(kind) is Annotated:
        base, bound = get_args(kind)[:2]
        reason = mismatch(value, base)
        if reason is None and isinstance(bound, Range) and not isinstance(value, Tensor) and not bound.holds(value):
            return str(bound).removeprefix("of ") if base is int else f"a number {bound}"
        return reason and f"{reason} {bound}"
    if get_origin(kind) is Literal:
        values = get_args(kind)
        fits = any(type(value) is type(one) and value == one for one in values)
        return None if fits else "one of " + ", ".join(map(repr, values))
    if kind is bool:
        return None if isinstance(value, bool) else "True or False"
    if kind is int:
        return None if isinstance(value, Integral) and not isinstance(value, bool) else _article(int)
    if kind is float:
        if isinstance(value, Tensor):  # a number of phi
            return None
        real = isinstance(value, Real) and not isinstance(value, bool)
        return None if real and math.isfinite(value) else "a finite number"
    if kind is str:
        return None if isinstance(value, str) else "text"
    if get_origin(kind) is Sequence:
        return _sequence(value, get_args(kind)[0])
    if _is_ours(kind):
        return None if isinstance(value, kind) else f"an object of the class {kind.__name__}"
    return None


def _sequence(value: Any, kind: Any) -> str | None:
    """The same for each of a sequence; what is no sequence at all is left to the function."""
    if isinstance(value, list | tuple):
        for one in value:
            if reasons := _reasons(one, kind):
                return "several, each " + " or ".join(reasons)
    return None


def _article(base: Any) -> str:
    return "a whole number" if base is int else "a number"
