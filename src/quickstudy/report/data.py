"""The name of the data that a report is about, and how much of it there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks

PLACES = ("root", "path")  # the arguments of a source that say where its data lie


@dataclass(frozen=True)
class Data:
    """The name of the data, and a line about them."""

    name: str
    facts: str


def data_of(tasks: TaskFamily | TaskDistribution, test: TaskDistribution, config: Mapping[str, Any] | None) -> Data:
    """The data of a run: named by its config, else by the class of its tasks.

    Args:
        test: the meta-test tasks of `tasks`, or these tasks themselves.
    """
    said = dict((config or {}).get("tasks", {}))
    own = type(test).__name__ if type(tasks) is TaskFamily else type(tasks).__name__
    name = str(said.get("name", own))
    place = next((Path(str(said[key])).name for key in PLACES if said.get(key)), "")
    if place and place.lower() != name.lower():
        name = f"{name}: {place}"
    return Data(name, _facts(tasks, test))


def _facts(tasks: TaskFamily | TaskDistribution, test: TaskDistribution) -> str:
    if not isinstance(test, LabelledTasks | GroupTasks):
        return "tasks drawn without end"
    what = "groups" if isinstance(test, GroupTasks) else "classes"
    facts = f"meta-test: {len(test.class_names)} {what}, {len(test.y)} examples of shape {tuple(test.x.shape[1:])}"
    if isinstance(tasks, TaskFamily):
        train, validation, _ = (len(names) for names in tasks.classes.values())
        facts += f"; {train} to train, {validation} to validate" + _augmented(tasks)
    return facts


def _augmented(tasks: TaskFamily) -> str:
    """What each augmentation of meta-training makes."""
    made = tasks.parts["train"].protocol.get("augment", {}) if "train" in tasks.parts else {}
    return "; " + ", ".join(f"{text} makes {makes}" for text, makes in made.items()) if made else ""
