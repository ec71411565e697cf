"""Flags and files as the config of a run: see `quickstudy.artifacts.config`.

Every key is also a flag (--inner_lr, --tasks.root, --network.channels, --train.steps). Both come from the signatures: a new
learner needs no code here. A flag overrides the file, the file overrides the default.
"""

from __future__ import annotations

import inspect
import json
import re
from argparse import ArgumentError as FlagError
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import ArgumentParser, Namespace

import quickstudy as qs
from quickstudy.arguments import union_parts
from quickstudy.artifacts.config import SECTIONS, read_config
from quickstudy.artifacts.rebuilding import FROM_TASKS, OUTPUTS, declared, for_python, is_text, only_python
from quickstudy.artifacts.written import WRITTEN
from quickstudy.cli.ends import ENDS, add_ends
from quickstudy.cli.names import DEFAULT_NETWORK, LEARNERS, NETWORKS, TASKS, named
from quickstudy.cli.options import explained, flags
from quickstudy.errors import ArgumentError, nearest
from quickstudy.meta.loop.meta_train import NOT_SETTINGS

DEFAULTS = {"steps": 2000, "tasks_per_step": 16}
NOT_OPTIONS: set[str | int] = {*NOT_SETTINGS, "outer", "loss"}


def parser(name: str, tasks_name: str, network_name: str) -> ArgumentParser:
    """A parser whose options are the arguments of the learner, of `--tasks.`, of `--network.` and of `--train.`."""
    learner, network = LEARNERS[name], named("--network", network_name, NETWORKS)
    description = (inspect.getdoc(learner) or "").split("\n")[0]
    made = ArgumentParser(prog=f"quickstudy train {name}", description=description, exit_on_error=False)
    made.add_function_arguments(learner, skip=for_python(learner), as_group=True)
    add_tasks(made, tasks_name)
    known = FROM_TASKS if "embed" in inspect.signature(learner).parameters else FROM_TASKS | OUTPUTS
    made.add_function_arguments(network, "network", skip=known & set(inspect.signature(network).parameters))
    made.add_function_arguments(qs.meta_train, "train", skip={*NOT_OPTIONS, *DEFAULTS})
    for option, default in DEFAULTS.items():
        made.add_argument(f"--train.{option}", type=int, default=default)
    made.add_argument("--out", type=str, default=None, help="the run's folder")
    add_ends(made)
    return made


def add_tasks(made: ArgumentParser, name: str) -> None:
    """The options `--tasks.` of a source: its arguments. Where it can, `queries` fits the data."""
    tasks = named("--tasks", name, TASKS)
    types = declared(tasks)
    objects = sorted(WRITTEN.keys() & types.keys())
    made.add_function_arguments(tasks, "tasks", skip=set(objects))
    for key in objects:
        text = f"such as '[{WRITTEN[key][0]}()]': a list of {', '.join(WRITTEN[key])}"
        made.add_argument(f"--tasks.{key}", type=str | list[str], default="[]", help=text)
    if type(None) in union_parts(types.get("queries")):
        made.set_defaults({"tasks.queries": None})


def parse(argv: list[str], name: str | None, file: str | None) -> tuple[dict[str, Any], Namespace]:
    """The resolved config of a command line (including `--tasks NAME`, `--network NAME`) over a config file, and the options.

    Raises:
        ArgumentError: an unknown key or flag (the error names the nearest known one); a value of a wrong type.
    """
    config = {} if file is None else read_config(file)
    _check_by_name(config, f"--config {file}")
    given = {section: dict(config.get(section, {})) for section in SECTIONS}
    argv, tasks_name = taken(argv, "--tasks", given["tasks"].pop("name", "omniglot"))
    argv, start = taken(argv, "--start", None)
    argv = argv if start is None else [*argv, f"--train.start={start}"]
    argv, network_name = taken(argv, "--network", given["network"].pop("name", DEFAULT_NETWORK.get(tasks_name, "conv4")))
    name = name or given["learner"].get("name")
    given["learner"].pop("name", None)
    if name is None:
        raise ArgumentError("LEARNER", expected="one of " + ", ".join(LEARNERS), got="none", do="quickstudy train LEARNER ...")
    named("LEARNER", name, LEARNERS)
    made = parser(name, tasks_name, network_name)
    plain = {**given.pop("learner"), **given} if file is not None else {}
    known = sorted(key for key in made.get_defaults().keys() if "__path__" not in key)  # noqa: SIM118 (a Namespace, no dict)
    _check_keys(plain, known, f"--config {file}")
    functions = {"": LEARNERS[name], "tasks.": TASKS[tasks_name], "network.": NETWORKS[network_name]}
    _check_empty(plain, made.get_defaults(), functions, f"--config {file}")
    _check_classes(plain, {**functions, "train.": qs.meta_train}, f"--config {file}")
    try:
        if plain:
            parsed = made.parse_object(plain)
            made.set_defaults({key: parsed[key] for key in known if key in parsed})
        options = made.parse_args(argv)
    except FlagError as error:
        raise explained(
            error, flags(made), f"--config {file}" if file else "train", "`quickstudy train LEARNER --help`"
        ) from error
    beside = {key: config[key] for key in ("outer", "loss") if key in config}
    return resolved(name, tasks_name, network_name, options) | beside, options


def resolved(name: str, tasks_name: str, network_name: str, options: Namespace) -> dict[str, Any]:
    """The options as plain data, the content of config.yaml."""
    plain = plain_options(options)
    learner = {key: value for key, value in plain.items() if key not in ("tasks", "network", "train", *ENDS)}
    return {
        "quickstudy": qs.__version__,
        "learner": {"name": name, **learner},
        "tasks": {"name": tasks_name, **plain["tasks"]},
        "network": {"name": network_name, **plain["network"]},
        "train": plain["train"],
    }


def plain_options(options: Namespace) -> dict[str, Any]:
    """Options as plain data."""
    return json.loads(json.dumps(options.as_dict(), default=str))


def taken(argv: list[str], flag: str, default: Any) -> tuple[list[str], Any]:
    """`argv` without `flag VALUE` (or `flag=VALUE`), and the value."""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[:index] + argv[index + 2 :], argv[index + 1]
        if word.startswith(flag + "="):
            return argv[:index] + argv[index + 1 :], word.removeprefix(flag + "=")
    return argv, default


def _check_by_name(config: dict[str, Any], argument: str) -> None:
    """Raise ArgumentError for the config of a run whose learner or tasks only Python can make."""
    of_python, learner = only_python(config), config.get("learner", {})
    if "class" in learner or "own" in learner:
        of_python.append(f"a learner by its class, {learner.get('class', learner.get('own'))}")
    if of_python:
        raise ArgumentError(
            argument,
            expected="a learner by its name and what else a file can say",
            got="; ".join(of_python)[:200],
            do="Train it in Python: qs.meta_train(learner, tasks, ..., out=FOLDER).",
        )


def _check_keys(plain: dict[str, Any], known: list[str], argument: str) -> None:
    flat = [key for key in plain if key not in SECTIONS]
    flat += [f"{section}.{key}" for section in SECTIONS for key in plain.get(section, {})]
    for key in flat:
        if key not in known:
            raise ArgumentError(argument, expected="known keys", got=f"the key {key!r}", do=nearest(key, known))


def _check_empty(plain: dict[str, Any], defaults: Namespace, functions: Mapping[str, Callable], argument: str) -> None:
    """Raise for a `key:` without a value (None), unless None is the default."""
    required = {
        f"{prefix}{name}"
        for prefix, function in functions.items()
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
    }
    flat = {key: value for key, value in plain.items() if key not in SECTIONS}
    flat |= {f"{section}.{key}": value for section in SECTIONS for key, value in plain.get(section, {}).items()}
    for key, value in flat.items():
        if value is None and (defaults.get(key) is not None or key in required):
            raise ArgumentError(
                argument, expected=f"a value of `{key}`", got="none", do="Write one, or leave the key out for the default."
            )


def _check_classes(plain: dict[str, Any], functions: Mapping[str, Callable], argument: str) -> None:
    """A file never causes an import: a class that it names is quickstudy's own, or refused before anyone looks it up."""
    for prefix, function in functions.items():
        types = declared(function)
        section = plain.get(prefix[:-1], {}) if prefix else {key: one for key, one in plain.items() if key not in SECTIONS}
        for key, value in section.items():
            for name in _class_names(value, _takes_objects(types.get(key))):
                if not name.startswith("quickstudy."):
                    raise ArgumentError(
                        f"{argument}, {prefix}{key}",
                        expected="a class of quickstudy, such as quickstudy.learners.descend.LearnedRates",
                        got=name[:100],
                        do="Use parts of your own in Python: a file never causes an import.",
                    )


def _class_names(value: Any, dotted: bool) -> Iterator[str]:
    """What a value names by `class_path`, and, where objects are taken, any text that reads as module.Class."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield str(value["class_path"])
        for one in value.values():
            yield from _class_names(one, dotted)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _class_names(one, dotted)
    elif dotted and isinstance(value, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", value.strip()):
        yield value.strip()


def _takes_objects(kind: Any) -> bool:
    """Whether a type has a part that jsonargparse would look up as a class or a function."""
    if get_origin(kind) in (Union, UnionType, Sequence, tuple, list):
        return any(_takes_objects(part) for part in get_args(kind))
    return not (kind is None or kind in (type(None), Path, Ellipsis) or is_text(kind))
