"""The tasks, the learner and the outer method of a run, made again from its config.

A config names learners, tasks and networks of quickstudy and gives their arguments; nothing is imported because it says so.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import torch

from quickstudy.arguments import types_of, union_parts
from quickstudy.artifacts.building import built
from quickstudy.artifacts.config import CONFIG
from quickstudy.artifacts.written import as_objects
from quickstudy.episode import Examples
from quickstudy.errors import CheckpointError, ShapeError
from quickstudy.forward.call import apply
from quickstudy.learners.learner import Learner
from quickstudy.randomness import seeded
from quickstudy.registry import DEFAULT_NETWORK, methods, named, networks, sources
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import largest

FROM_TASKS: set[str | int] = {"ways", "in_channels", "size", "rate"}  # arguments of a network that the tasks determine
OUTPUTS = {"features"}  # and the outputs of one whose learner takes it as a classifier
SHAPE: set[str | int] = {"features", "max_ways", "length", "inputs", "targets"}  # arguments of a learner that the tasks determine
FOREIGN = ("foreign", "own", "left_out")  # keys of what a description only names


def build(config: dict[str, Any]) -> tuple[Any, Learner]:
    """Tasks and learner from a config, with initial weights drawn from its seed."""
    tasks = build_tasks(config)
    return tasks, build_learner(config, tasks)


def families() -> dict[str, Callable]:
    """What makes task families, by its name in configs: the sources of the command line, and the other families of quickstudy."""
    from quickstudy import tasks

    own = {name: one for name, one in vars(tasks).items() if isinstance(one, type) and issubclass(one, TaskFamily)}
    return own | sources()


def build_tasks(config: dict[str, Any]) -> Any:
    """The task family of a config.

    Raises:
        CheckpointError: tasks that are made of what only Python holds.
        ArgumentError: no domain has tasks of this name; see `as_objects`.
    """
    arguments = dict(config.get("tasks", {}))
    name, given = arguments.pop("name", None), arguments.pop("given", None)
    if given:
        raise CheckpointError(
            f"{CONFIG}, tasks",
            expected="tasks that a config can make again",
            got=f"{name}, of {', '.join(map(str, given))} in memory",
            do="In Python hand them in, qs.Run(path, tasks=...); at the command line name other data: "
            "quickstudy evaluate RUN --tasks folder --tasks.path PATH.",
        )
    family = named("tasks", name, families())
    return family(**_objects(family, as_objects(arguments)))


def build_learner(config: dict[str, Any], tasks: Any) -> Learner:
    """The learner of a config for these tasks, with initial weights drawn from its seed."""
    arguments, network_arguments = dict(config["learner"]), dict(config.get("network", {}))
    seed = config["train"].get("seed", 0)
    if "name" not in arguments:
        with seeded(seed):
            return built(arguments, Path(CONFIG), {})
    default = DEFAULT_NETWORK.get(config["tasks"].get("name"), "conv4")
    recipe, named_so = methods()[arguments.pop("name")], network_arguments.pop("name", default)
    takes, network = inspect.signature(recipe).parameters, networks()[named_so]
    network_arguments |= _from_tasks(tasks, network, embedding="embed" in takes)
    with seeded(seed):
        made = [network(**network_arguments)] if {"network", "embed"} & set(takes) else []
        if made:
            _check_reads(made[0], named_so, tasks, "network" in takes and "ways" not in inspect.signature(network).parameters)
        return recipe(*made, **_objects(recipe, arguments), **_shape(tasks, takes, made))


def build_outer(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments `outer` and `loss` of meta_train, as far as the config has them."""
    return {name: built(config[name], Path(CONFIG), {}, name) for name in ("outer", "loss") if name in config}


def only_python(config: dict[str, Any]) -> list[str]:
    """What of a run its config cannot make again, by name: parts of the user's own, arrays, functions."""
    tasks, learner = config.get("tasks", {}), config.get("learner", {})
    found = [f"tasks {tasks.get('name')} ({', '.join(map(str, tasks['given']))})"] if tasks.get("given") else []
    found += [f"learner {name}" for name in _foreign(learner)]
    found += [f"{name} {one}" for name in ("outer", "loss") for one in _foreign(config.get(name))]
    return found + [f"{name}=" for name in config.get("given", [])]


def _foreign(spec: Any) -> list[str]:
    """The names of parts that are not quickstudy's own, in a description."""
    if isinstance(spec, list):
        return [name for one in spec for name in _foreign(one)]
    if not isinstance(spec, dict):
        return []
    return [str(spec[key]) for key in FOREIGN if key in spec] + [name for one in spec.values() for name in _foreign(one)]


def _objects(recipe: Callable, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, where a config holds the fields of an object (`inner_lr: {initial: 0.1}`) the object itself."""
    types = declared(recipe)

    def made(name: str, value: Any) -> Any:
        kinds = (
            [part for part in union_parts(types[name]) if dataclasses.is_dataclass(part)] if isinstance(value, Mapping) else []
        )
        return cast("Any", kinds[0])(**value.get("init_args", value)) if kinds else value

    return {name: made(name, value) for name, value in arguments.items()}


def _shape(tasks: Any, takes: Mapping[str, Any], built: list[torch.nn.Module]) -> dict[str, int]:
    """The shape arguments of a learner that the tasks and its embedding determine."""
    if not SHAPE & set(takes):
        return {}
    episode = tasks.train.sample(1, generator=torch.Generator().manual_seed(0)).map(lambda leaf: leaf[0])
    x, y, most = episode.support.x, episode.support.y, tasks.train.protocol
    shape = {"targets": y[0].numel()} | ({"inputs": x[0].numel()} if isinstance(x, torch.Tensor) else {})
    if "features" in takes and built:
        with torch.no_grad():
            shape["features"] = _outputs(built[0], episode.support)
    if most["ways"] is not None:
        shape["max_ways"] = largest(most["ways"])
        shape["length"] = largest(most["ways"]) * largest(most["shots"]) + 1
    return {name: value for name, value in shape.items() if name in takes}


def _outputs(network: torch.nn.Module, support: Examples) -> int:
    """How many a network has, by its answer to the first example."""
    return apply(copy.deepcopy(network).eval(), support.map(lambda leaf: leaf[:1]).x).shape[-1]


def _check_reads(network: torch.nn.Module, name: str, tasks: Any, classifies: bool) -> None:
    """Let a network answer an example, where the tasks are no plain arrays, or it `classifies` without being told the ways.

    Raises:
        UnsupportedError: it does not read them.
        ShapeError: a classifier with other outputs than the classes.
    """
    episode = tasks.train.sample(1, generator=torch.Generator().manual_seed(0)).map(lambda leaf: leaf[0])
    ways = tasks.train.protocol["ways"]
    if isinstance(episode.support.x, torch.Tensor) and not (classifies and ways is not None):
        return
    with torch.no_grad():
        outputs = _outputs(network, episode.support)
    if classifies and ways is not None and outputs != largest(ways):
        do = "It is an embedding: take a learner that compares, such as prototypical, or another network, such as byte_conv."
        raise ShapeError("--network", expected=f"{largest(ways)} outputs, one for each class", got=f"{name} of {outputs}", do=do)


def _from_tasks(tasks: Any, network: Callable, embedding: bool) -> dict[str, Any]:
    """The shape arguments of a network that the tasks determine: outputs (none for an embedding), channels and size of images."""
    ways, reads = tasks.train.protocol["ways"], tasks.preprocessing
    takes = inspect.signature(network).parameters
    shape: dict[str, Any] = {"ways": None if embedding or ways is None else largest(ways)}
    if not embedding and ways is not None:
        shape |= {name: largest(ways) for name in OUTPUTS & set(takes)}
    if hasattr(reads, "channels"):
        shape |= {"in_channels": reads.channels, "size": reads.size}
    if hasattr(reads, "rate"):
        shape |= {"rate": reads.rate}
    return {name: value for name, value in shape.items() if name in takes}


def for_python(learner: Callable) -> set[str | int]:
    """Arguments that the command line does not take: those the tasks determine, networks, functions and objects."""
    return SHAPE | {name for name, kind in declared(learner).items() if not is_text(kind)}


def declared(function: Callable) -> dict[str, Any]:
    """The types of a function's arguments, of those that it hands on too."""
    inner: Any = inspect.unwrap(getattr(function, "__init__") if isinstance(function, type) else function)  # noqa: B009 (mypy)
    types = types_of(inner)
    return {name: types.get(name, one.annotation) for name, one in inspect.signature(function).parameters.items()}


def is_text(kind: Any) -> bool:
    """Whether a user can type a value of this type, or of one part of a union: a number, text, a flag, or a sequence of them."""
    if get_origin(kind) in (Union, UnionType):
        return any(is_text(part) for part in get_args(kind) if part is not type(None))
    if get_origin(kind) in (Sequence, tuple):
        return all(is_text(part) for part in get_args(kind) if part is not Ellipsis)
    if get_origin(kind) is Annotated:
        return is_text(get_args(kind)[0])
    return kind in (int, float, str, bool) or get_origin(kind) is Literal
