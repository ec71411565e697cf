"""config.yaml: the settings of a run as plain data. The command line writes it; `Run` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.artifacts.written import as_objects
from quickstudy.errors import ArgumentError, nearest
from quickstudy.registry import named, sources

SECTIONS = ("learner", "tasks", "network", "train")


def read_config(path: str | Path) -> dict[str, Any]:
    """The config of a file.

    Raises:
        ArgumentError: the file is missing, is not YAML, or has an unknown section.
    """
    from quickstudy.plain_yaml import read_yaml

    path = Path(path)
    argument = f"--config {path}"
    expected = "a YAML file with the sections " + ", ".join(SECTIONS)
    config = read_yaml(path, name=argument, expected=expected, do="Every run folder has one: RUN/config.yaml.")
    if not isinstance(config, dict) or not all(isinstance(config.get(name, {}), dict) for name in SECTIONS):
        raise ArgumentError(argument, expected=expected, got=repr(config)[:80], do="Take a run's config.yaml as a model.")
    for key in [one for section in SECTIONS for one in config.get(section, {})]:
        if not isinstance(key, str):
            raise ArgumentError(argument, expected="keys that are words", got=repr(key), do="Write `key: value`.")
    for key in config:
        if key not in (*SECTIONS, "quickstudy"):
            raise ArgumentError(argument, expected="known sections", got=f"{key!r}", do=nearest(str(key), SECTIONS))
    return config


def build_tasks(config: dict[str, Any]) -> Any:
    """The task family of a config.

    Raises:
        ArgumentError: no domain has tasks of this name; see `as_objects`.
    """
    arguments = dict(config.get("tasks", {}))
    return named("tasks", arguments.pop("name", None), sources())(**as_objects(arguments))
