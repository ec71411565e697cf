"""A learner built again from its description: `quickstudy.artifacts.description`, backwards.

Nothing is imported because a description says so. It names only classes of quickstudy, and losses, optimizers and schedulers of
torch, looked up in a table; every other name is refused. What is the user's own is handed in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from quickstudy.artifacts.allowance import AllowanceError
from quickstudy.artifacts.description import FUNCTIONS, SETTINGS, Place, classes
from quickstudy.errors import ArgumentError, CheckpointError, QuickstudyError
from quickstudy.learners.learner import Learner
from quickstudy.meta.outer.outer import LeftOut
from quickstudy.registry import LEARNERS

DEEPEST = 100  # parts within parts
REFUSALS = (QuickstudyError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RuntimeError, MemoryError)


def built(
    spec: Any,
    path: Path,
    foreign: dict[str, Any],
    name: str = "learner",
    depth: int = 0,
    where: Place = (),
    made: dict[str, nn.Module] | None = None,
) -> Any:
    """The value of a description.

    Args:
        spec: the description.
        path: of its file, for errors.
        foreign: the user's own parts by the names of their arguments.
        name: of the argument that the value is for.
        where, made: its place in the description, and the modules that were built before by their places.

    Raises:
        CheckpointError: an unknown name, a part of the user's own that is not handed in, arguments that a class does not take.
    """
    if depth > DEEPEST:
        raise refused(path, f"parts within parts, {depth} deep", "a learner")
    made = {} if made is None else made

    def within(value: Any, name: str, step: str) -> Any:
        return built(value, path, foreign, name, depth + 1, (*where, step), made)

    if isinstance(spec, list):
        return tuple(within(one, name, str(place)) for place, one in enumerate(spec))
    if not isinstance(spec, dict):
        return spec
    if "same" in spec:
        return _looked_up(made, spec["same"], path, "the part", f"one of those built before: {sorted(made)}")
    value = _built(spec, path, foreign, name, depth, within, (where, made))
    if isinstance(value, nn.Module):
        made[".".join(where)] = value
    return value


def _built(
    spec: dict[str, Any],
    path: Path,
    foreign: dict[str, Any],
    name: str,
    depth: int,
    within: Callable[[Any, str, str], Any],
    place: tuple[Place, dict[str, nn.Module]],
) -> Any:
    """The value of a description that is a table; `within(spec, name, step)` builds a part of it."""
    if "foreign" in spec:
        if name not in foreign:
            raise CheckpointError(
                str(path),
                expected=f"`{name}=` to be handed in: {spec['foreign']} is not quickstudy's own",
                got="none",
                do=f"Call load(path, {name}=...) with one built as it was for training.",
            )
        return foreign[name]
    if "function" in spec:
        return _looked_up(FUNCTIONS, spec["function"], path, "the function", f"one of {sorted(FUNCTIONS)}")
    if "left_out" in spec:
        return LeftOut(str(spec["left_out"]))
    if "setting" in spec:
        setting = _looked_up(SETTINGS, spec["setting"], path, "the setting", "an optimizer or scheduler of torch")
        return partial(setting, **{key: within(one, key, key) for key, one in _arguments(spec, path).items()})
    if "own" in spec:
        return _own(spec, path, foreign, name, depth, place)
    if "class" in spec:
        expected = "only classes of quickstudy, by their plain names"
        cls = _looked_up(classes(), spec["class"], path, "the class", expected)
        if issubclass(cls, nn.Module) and isinstance(foreign.get(name), nn.Module):
            return foreign[name]
        return _made(cls, (), {key: within(value, key, key) for key, value in _arguments(spec, path).items()}, path)
    return {key: within(value, key, key) for key, value in spec.items()}


def check_foreign(foreign: Mapping[str, Any], spec: Any, path: Path) -> None:
    """Raise ArgumentError for what is handed in under a name that no part of the saved learner has."""
    names = _argument_names(spec)
    for name in foreign:
        if name not in names and name != "learner":
            raise ArgumentError(
                name,
                expected=f"an argument that the learner in {path} was built with: " + (", ".join(sorted(names)) or "it has none"),
                got=f"{name}={foreign[name]!r}"[:100],
                do="Check the spelling, or leave it out.",
            )


def refused(path: Path, got: str, expected: str) -> CheckpointError:
    """The error of a file that `learner.save` did not write."""
    return CheckpointError(str(path), expected=expected, got=got[:300], do="Give a folder that learner.save(path) wrote.")


def _looked_up(table: Mapping[str, Any], name: Any, path: Path, what: str, expected: str) -> Any:
    if not isinstance(name, str) or name not in table:
        raise refused(path, f"{what} {name!r}", expected)
    return table[name]


def _arguments(spec: dict[str, Any], path: Path) -> dict[str, Any]:
    if not isinstance(spec.get("arguments"), dict):
        raise refused(path, f"arguments {spec.get('arguments')!r}", "arguments by their names")
    return spec["arguments"]


def _made(cls: type, positional: Any, arguments: dict[str, Any], path: Path) -> Any:
    """cls(...). What it refuses is the file's fault: it was built once with what it was saved with."""
    try:
        return cls(*positional, **arguments)
    except (CheckpointError, AllowanceError):
        raise
    except REFUSALS as error:
        said = " ".join(str(error).split())
        raise refused(path, f"arguments {sorted(arguments)} ({said})", f"the arguments of {cls.__name__}") from error


def _argument_names(spec: Any) -> set[str]:
    """The names of the arguments of a saved value, and of the parts that it was built with."""
    if isinstance(spec, list):
        return {name for one in spec for name in _argument_names(one)}
    if not isinstance(spec, dict):
        return set()
    own = spec.get("arguments", {} if "class" in spec else spec)
    below = {name for one in spec.values() for name in _argument_names(one)}
    return below | ({str(name) for name in own} if isinstance(own, dict) else set())


def _own(
    spec: dict[str, Any],
    path: Path,
    foreign: dict[str, Any],
    name: str,
    depth: int,
    place: tuple[Place, dict[str, nn.Module]],
) -> Any:
    """A learner of the user's own class: handed in, as class or instance, or already defined. It is never imported."""
    given = foreign.get(name, foreign.get("learner"))
    cls = given if isinstance(given, type) else LEARNERS.get(str(spec["own"]))
    named = str(spec["own"]).rpartition(".")[2]
    if isinstance(given, Learner) and type(given).__qualname__.rpartition(".")[2] == named:
        return given
    if cls is None or not issubclass(cls, Learner) or cls.__name__ != named:
        raise CheckpointError(
            str(path),
            expected=f"the class {spec['own']}, which is not quickstudy's own, to be handed in, or defined already",
            got="none" if given is None else repr(given)[:60],
            do=f"Call load(path, learner={named}).",
        )
    handed = {**foreign, "learner": given}
    where, made = place
    parts = _arguments(spec, path).items()
    arguments = {key: built(value, path, handed, key, depth + 1, (*where, key), made) for key, value in parts}
    signature = inspect.signature(cls.__init__)
    bound = signature.bind_partial(None)
    bound.arguments.update({key: arguments[key] for key in signature.parameters if key in arguments})
    return _made(cls, bound.args[1:], bound.kwargs, path)
