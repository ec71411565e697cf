"""What a learner is made of, as plain data: the classes of its parts by their names, with their arguments.

    Prototypical(mlp(4, 8))  ->  {"class": "Prototypical", "arguments": {"embed": {"class": "MLP", "arguments": {...}}}}

A part that is not quickstudy's own is written by name, {"foreign": "mine.Network"}, and handed in when the learner is built. A
module that stands in two places is written in the first: {"same": "learners.waves.embed"} in the second.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from quickstudy.learners.learner import Learner
from quickstudy.meta.outer.outer import LeftOut, cosine
from quickstudy.registry import is_own, qualified_name

FUNCTIONS: dict[str, Callable] = {
    name: getattr(F, name) for name in ("cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
}
SETTINGS: dict[str, Callable] = {  # of an outer method: the callables allowed in a functools.partial
    one.__name__: one
    for space, kind in ((torch.optim, Optimizer), (lr_scheduler, LRScheduler))
    for one in vars(space).values()
    if inspect.isclass(one) and issubclass(one, kind) and one is not kind
} | {"cosine": cosine}
Place = tuple[str, ...]  # names of arguments, keys and indices from the learner to a part of it
ROOMS = tuple(
    f"quickstudy.{room}" for room in ("models", "targets", "linear_solvers", "learners", "meta", "evaluation", "domains")
)


def description(value: Any) -> Any:
    """A value as plain data, whatever the weights in it are."""
    return _described(value, (), {})


def _described(value: Any, where: Place, seen: dict[int, Place]) -> Any:
    """The description of a part that stands `where`; `seen` has the place of each module that was described before."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _described(one, (*where, str(key)), seen) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_described(one, (*where, str(place)), seen) for place, one in enumerate(value)]
    if isinstance(value, nn.Module):
        if id(value) in seen:
            return {"same": ".".join(seen[id(value)])}
        seen[id(value)] = where
    if isinstance(value, Learner):
        return _of_learner(value, value.arguments, where, seen)
    known = classes().get(type(value).__name__)
    if known is type(value):
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
        else:
            taken = inspect.signature(type(value).__init__).parameters.values()
            names = [one.name for one in taken if one.name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        arguments = {name: _described(getattr(value, name), (*where, name), seen) for name in names}
        return {"class": type(value).__name__, "arguments": arguments}
    return _of_callable(value)


def whole_description(learner: Learner) -> dict[str, Any]:
    """The description of a learner with the arguments that it was not given, by their defaults."""
    parameters = inspect.signature(type(learner).__init__).parameters.values()
    known = {one.name: one.default for one in parameters if one.default is not one.empty or one.name in learner.arguments}
    return _of_learner(learner, {**known, **learner.arguments}, (), {id(learner): ()})


def first_difference(one: Any, other: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """Where two descriptions differ first: the path of names, and the two values; None where they are equal."""
    if isinstance(one, dict) and isinstance(other, dict) and one.get("class") == other.get("class"):
        for name in dict.fromkeys([*one, *other]):
            inner = path if name in ("arguments", "class") else f"{path}.{name}".lstrip(".")
            if (found := first_difference(one.get(name), other.get(name), inner)) is not None:
                return found
        return None
    return None if one == other else (path, one, other)


@functools.cache
def classes() -> dict[str, type]:
    """Every class that a description may name: the networks, learners, and their parts that quickstudy's packages export.

    All of these packages are imported for it: what a file may name does not depend on what a program happened to import.
    """
    handed_on = [cls for room in ROOMS for package in _packages(room) for cls in vars(package).values() if isinstance(cls, type)]
    return {cls.__name__: cls for cls in handed_on if issubclass(cls, nn.Module) or dataclasses.is_dataclass(cls)}


def _packages(name: str) -> Iterator[ModuleType]:
    """A package and all below it."""
    package = importlib.import_module(name)
    yield package
    for one in pkgutil.iter_modules(package.__path__):
        if one.ispkg:
            yield from _packages(f"{name}.{one.name}")


def _of_learner(learner: Learner, given: Mapping[str, Any], where: Place, seen: dict[int, Place]) -> dict[str, Any]:
    held = {name: value for name, value in given.items() if value is not learner and value is not None}
    arguments = {name: _described(value, (*where, name), seen) for name, value in held.items()}
    if "outer" in arguments and (foreign := _foreign(arguments["outer"])):
        arguments["outer"] = {"left_out": foreign}
    if is_own(type(learner)):
        return {"class": type(learner).__name__, "arguments": arguments}
    return {"own": qualified_name(type(learner)), "arguments": arguments}


def _of_callable(value: Any) -> dict[str, Any]:
    """A function or a setting of torch by its name in the tables above; anything else as foreign."""
    for name, function in FUNCTIONS.items():
        if value is function:
            return {"function": name}
    if isinstance(value, LeftOut):
        return {"left_out": value.what}
    made = value if isinstance(value, partial) else partial(value) if callable(value) else None
    if made is not None and not made.args:
        for name, one in SETTINGS.items():
            if made.func is one:
                return {"setting": name, "arguments": description(made.keywords)}
    owner = value if hasattr(value, "__qualname__") else type(value)
    return {"foreign": f"{owner.__module__}.{owner.__qualname__}"}


def _foreign(spec: Any) -> str | None:
    """The first part of a description that cannot be saved."""
    if isinstance(spec, dict):
        parts = [spec.get("left_out"), spec.get("foreign"), *map(_foreign, spec.values())]
        return next((str(part) for part in parts if part), None)
    return next(filter(None, map(_foreign, spec)), None) if isinstance(spec, list) else None
