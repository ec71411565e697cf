"""Arguments that functions pass on to another function, listed once as a TypedDict.

    @hands_on(DescentOptions, Descent, rule=Adam())
    def Mine(network, *, inner_steps: int = 3, **options: Unpack[DescentOptions]) -> Descent:
        return Descent(network, inner_steps=inner_steps, name="Mine", **options)

`Mine` takes every argument in `DescentOptions`, with Descent's default or the one named here. `Descent` documents them; `help`,
the command line and `quickstudy explain` show them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, cast, get_type_hints

Function = TypeVar("Function", bound=Callable)


def hands_on(options: type, taker: Callable, **defaults: Any) -> Callable[[Function], Function]:
    """Show a function's `**options` as named arguments, and give some of them other defaults.

    Its docstring gets the lines on arguments that it lacks, and that the taker's docstring has.

    Args:
        options: the TypedDict of the function's `**options`.
        taker: the function or class that receives them; its defaults apply.
        defaults: defaults that differ from the taker's, or that the taker lacks.

    Returns:
        The decorator.
    """
    theirs, types = inspect.signature(taker).parameters, get_type_hints(options)

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults[name] if name in defaults else theirs[name].default,
                annotation=annotation,
            )
            for name, annotation in types.items()
        ]
        signature = signature.replace(parameters=[*named, *more])
        function.__doc__ = _documented(function.__doc__, inspect.getdoc(taker), signature)

        @functools.wraps(function)
        def handing_on(*args: Any, **given: Any) -> Any:
            try:
                signature.bind(*args, **given)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*args, **{**defaults, **given})

        handing_on.__signature__ = signature  # type: ignore[attr-defined]
        return cast("Function", handing_on)

    return decorate


def _documented(doc: str | None, takers: str | None, signature: inspect.Signature) -> str | None:
    """A docstring with a section on the arguments of `signature` that it does not describe and that the taker's does."""
    if doc is None or takers is None:  # Python runs without docstrings
        return doc
    has, theirs = _arguments(inspect.cleandoc(doc)), _arguments(takers)
    lines = [f"        {name}: {theirs[name]}" for name in signature.parameters if name in theirs and name not in has]
    return doc if not lines else "\n".join([doc.rstrip(), "", "    Other Args:" if has else "    Args:", *lines, "    "])


def _arguments(doc: str) -> dict[str, str]:
    """The text on each argument in the sections "Args" and "Other Args" of a docstring."""
    found: dict[str, str] = {}
    within, names = False, []
    for line in doc.splitlines():
        if line and not line.startswith(" "):
            within = line in ("Args:", "Other Args:")
        elif within and re.match(r"    \w[\w, ]*: ", line):
            before, _, text = line.strip().partition(": ")
            names = before.split(", ")
            found |= dict.fromkeys(names, text)
        elif within and line.startswith("        "):
            found |= {name: f"{found[name]}\n            {line.strip()}" for name in names}
    return found
