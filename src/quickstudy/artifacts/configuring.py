"""The config of a run, from the objects that `meta_train` was given.

A learner that a config can name (`qs.MAML(network, inner_lr=0.4)` is `{name: maml, inner_lr: 0.4}`) is named; whether it can is
found by making it again and comparing. Any other learner is described by its classes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from quickstudy.arguments import union_parts
from quickstudy.artifacts.building import REFUSALS
from quickstudy.artifacts.description import description, whole_description
from quickstudy.artifacts.rebuilding import FROM_TASKS, build_learner, declared, families, for_python, only_python
from quickstudy.artifacts.written import WRITTEN
from quickstudy.calls import Call, call, call_of, plain
from quickstudy.evaluation.metrics import LOSS, METRICS, Metric
from quickstudy.learners.learner import Learner
from quickstudy.meta.executors import Executor
from quickstudy.registry import METHODS, is_own, methods, networks, sources
from quickstudy.tasks.distribution.size import Size

SIZES = ("ways", "shots", "queries")


def config_of(learner: Learner, tasks: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run that is about to start.

    Args:
        learner: as it is handed in, with its initial weights.
        tasks: a family or one distribution.
        arguments: the other arguments of `meta_train` that say how it trains.
    """
    from quickstudy import __version__

    train, parts, given = _train(arguments)
    config: dict[str, Any] = {"quickstudy": __version__, "start": "given"}
    config |= {"learner": description(learner), "tasks": _tasks(tasks), "network": {}, "train": train, **parts}
    if given:
        config["given"] = given
    named = config | _by_name(learner)
    same = named["learner"].get("name") is not None and _made_again(named, tasks)
    if isinstance(same, Learner) and whole_description(same) == whole_description(learner):
        config = named | {"start": "seed" if _same_weights(same, learner) else "given"}
    return config


# ---- meta_train's arguments -----------------------------------------------------------------------------------------------


def _train(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The plain arguments, `outer` and `loss` as descriptions, and the names of those that no text can describe."""
    train: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    given: list[str] = []
    for name, value in arguments.items():
        if name in ("outer", "loss"):
            parts |= {} if value is None else {name: description(value)}
            continue
        try:
            train[name] = plain(_by_its_name(value))
        except TypeError:
            train[name] = None
            given.append(name)
    foreign = [name for name in parts if only_python({name: parts[name]})]
    return train, {name: part for name, part in parts.items() if name not in foreign}, foreign + given


def _by_its_name(value: Any) -> Any:
    """An executor, a device, or a metric of quickstudy by its name; any other value as it is."""
    if isinstance(value, Executor):
        return value.name
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, Metric) and (value.name == LOSS or METRICS.get(value.name) is value):
        return value.name
    return value


# ---- tasks ----------------------------------------------------------------------------------------------------------------


def _tasks(tasks: Any) -> dict[str, Any]:
    made = call_of(tasks) or Call(type(tasks).__name__, given=("tasks",))
    arguments = dict(made.arguments)
    for name in WRITTEN.keys() & arguments.keys():
        arguments[name] = f"[{', '.join(map(repr, arguments[name]))}]"
    name = next((key for key, one in sources().items() if one.__name__ == made.name), made.name)
    types = declared(families()[name]) if name in families() else {}
    given = [*made.given, *(key for key, value in made.arguments.items() if not _writable(key, value, types.get(key)))]
    if name not in families() and not given:
        given = ["arguments"]
    sizes = {size: plain(value) for size, value in protocol_of(tasks).items() if given or size in arguments}
    arguments = {key: plain(_fields(value)) for key, value in arguments.items() if key not in given} | sizes
    return {"name": name, **arguments} | ({"given": given} if given else {})


def protocol_of(tasks: Any) -> dict[str, Size | None]:
    """ways, shots and queries of the tasks that score: of a family's `test`, else of its last part."""
    parts = getattr(tasks, "parts", None)
    part = tasks if parts is None else list(parts.values())[-1]
    return {size: part.protocol.get(size) for size in SIZES}


def _writable(name: str, value: Any, kind: Any) -> bool:
    """Whether a config can write this argument of tasks, of this declared type: settings are written as their fields."""
    if is_dataclass(value):
        return any(is_dataclass(part) for part in union_parts(kind))
    if name in WRITTEN:
        return all(type(one).__name__ in WRITTEN[name] for one in value)
    return not any(map(is_dataclass, value if isinstance(value, list) else [value]))


# ---- the learner ----------------------------------------------------------------------------------------------------------


def _by_name(learner: Learner) -> dict[str, Any]:
    """The sections `learner` and `network`, if a config has a name for such a learner."""
    made = call_of(learner) or _class_call(learner)
    command = next((one.command for one in METHODS if one.command and made is not None and one.name == made.name), None)
    if command is None or made is None:
        return {}
    skipped = for_python(methods()[command])
    arguments = {name: _fields(value) for name, value in made.arguments.items() if name not in skipped}
    network = next((one for name in ("network", "embed") if isinstance(one := learner.arguments.get(name), nn.Module)), None)
    return {"learner": {"name": command, **arguments}, "network": _network(network)}


def _class_call(learner: Learner) -> Call | None:
    """The call of a learner's own class, with its defaults."""
    kind = type(learner)
    if not is_own(kind):
        return None
    arguments = {name: value for name, value in learner.arguments.items() if name != "self"}
    return call(kind.__name__, kind.__init__, inspect.signature(kind.__init__).bind_partial(None, **arguments))


def _fields(value: Any) -> Any:
    """A setting of quickstudy as its fields."""
    return {one.name: _fields(getattr(value, one.name)) for one in fields(value)} if is_dataclass(value) else value


def _network(network: nn.Module | None) -> dict[str, Any]:
    spec = description(network)
    arguments = spec.get("arguments") if isinstance(spec, dict) else None
    name = next((one for one in networks() if arguments and one.replace("_", "") == spec.get("class", "").lower()), None)
    own = {key: value for key, value in (arguments or {}).items() if key not in FROM_TASKS}
    return {} if name is None else {"name": name, **own}


def _made_again(config: dict[str, Any], tasks: Any) -> Learner | None:
    try:
        return build_learner(config, tasks)
    except REFUSALS:  # arguments, or a network, that these tasks do not determine
        return None


def _same_weights(one: Learner, other: Learner) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and torch.equal(ours[name].cpu(), theirs[name].cpu()) for name in ours
    )
