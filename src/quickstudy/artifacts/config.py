"""config.yaml: the settings of a run as plain data.

    quickstudy: 0.1.0
    start: seed                                   the initial weights: drawn from train.seed, or `given`
    learner: {name: maml, inner_lr: 0.4, ...}     a learner by name; or {class: Descent, arguments: {...}}, as Python made it
    tasks:   {name: omniglot, root: ..., ...}     with `given: [x, y]` where they are made of what no text describes
    network: {name: conv4, channels: 64, ...}     of a learner by name
    train:   {steps: 2000, ...}                   the arguments of meta_train
    outer, loss: {class: ...}                     the same, where they were given; named in `given: [...]` where no text can

`meta_train` writes it (`quickstudy.artifacts.configuring`), and `quickstudy.artifacts.rebuilding` makes the objects again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.errors import ArgumentError, nearest
from quickstudy.files import write_text

CONFIG = "config.yaml"
SECTIONS = ("learner", "tasks", "network", "train")
BESIDE = ("quickstudy", "start", "outer", "loss", "given")  # the other keys


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
        if key not in (*SECTIONS, *BESIDE):
            raise ArgumentError(argument, expected="known sections", got=f"{key!r}", do=nearest(str(key), SECTIONS))
    return config


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write it into a run's folder."""
    import yaml

    write_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
