"""Arguments of tasks as a config and a command line write them, in the form of Python that errors and manual use.

    augment: "[Rotations(), MixTasks(alpha=0.3)]"        transform: "[RandomFlip()]"        split: "(0.64, 0.16, 0.2)"

The text is read, not run: names of the lists below, and numbers as their arguments.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from quickstudy.errors import ArgumentError
from quickstudy.registry import named

AUGMENT = (
    "Rotations",
    "SplitClasses",
    "MergeClasses",
    "FeatureNoise",
    "LabelNoise",
    "MetaMix",
    "MixTasks",
    "ShuffleChannels",
    "PermuteChannels",
    "PermuteLabels",
)
TRANSFORM = ("RandomCrop", "RandomFlip", "ColourJitter", "RandomResizedCrop", "RandomAffine", "Resize")
WRITTEN = {"augment": AUGMENT, "transform": TRANSFORM}
LONGEST = 1000  # characters


def as_objects(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of tasks, with objects and numbers in place of their texts.

    Raises:
        ArgumentError: a text that is not of this form, an unknown name, an argument that an object does not take.
    """
    found = dict(arguments)
    for key in WRITTEN.keys() & found.keys():
        found[key] = [_object(key, node) for node in _nodes(key, found[key])]
    if isinstance(found.get("split"), str):
        found["split"] = _numbers(found["split"])
    return found


def _nodes(key: str, given: Any) -> list[ast.expr]:
    """The parts of a text; a YAML reader may have split it at its commas."""
    text = ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)
    try:
        body = ast.parse(text[: LONGEST + 1].strip() or "[]", mode="eval").body if len(text) <= LONGEST else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = None
    parts = list(body.elts) if isinstance(body, ast.List | ast.Tuple) else [body]
    if None in parts:
        raise _unreadable(key, text)
    return [part for part in parts if part is not None]


def _object(key: str, node: ast.expr) -> Any:
    """The object that `Name(argument=number)`, or `Name` alone, writes."""
    from quickstudy import tasks

    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name):
        raise _unreadable(key, ast.unparse(node))
    named(f"--tasks.{key}", call.func.id, dict.fromkeys(WRITTEN[key]))
    try:
        plain = [ast.literal_eval(one) for one in call.args]
        by_name = {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        return getattr(tasks, call.func.id)(*plain, **by_name)
    except (ValueError, TypeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise _unreadable(key, ast.unparse(node)) from error


def _unreadable(key: str, got: str) -> ArgumentError:
    example = f"[{WRITTEN[key][0]}()]"
    return ArgumentError(
        f"--tasks.{key}",
        expected=f"a list as {example}",
        got=got[:100],
        do="There are " + ", ".join(WRITTEN[key]) + ", with numbers as arguments; your own functions are for Python.",
    )


def _numbers(text: str) -> Any:
    """The numbers of "(0.64, 0.16, 0.2)"; any other text, a path or a name, as it is."""
    try:
        found = ast.literal_eval(text.strip()) if len(text) <= LONGEST else text
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    return list(found) if isinstance(found, list | tuple) and all(isinstance(one, int | float) for one in found) else text
