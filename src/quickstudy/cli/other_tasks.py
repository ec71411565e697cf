"""`evaluate RUN --tasks OTHER`: a run's learner on other data, with the options that `train` has for them."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from jsonargparse import ArgumentParser

from quickstudy.artifacts.fitting import fitted
from quickstudy.artifacts.identity import EXAMPLES, identity
from quickstudy.artifacts.rebuilding import build_tasks
from quickstudy.artifacts.run import Run
from quickstudy.cli.config import plain_options
from quickstudy.cli.names import TASKS
from quickstudy.tasks.distribution.interface import TaskDistribution

SIZES = ("ways", "shots", "queries")


def as_the_run(made: ArgumentParser, run: Run, name: str) -> None:
    """Let the options that say how examples are read and how many are asked for be by default as the run's."""
    examples = (identity(run.path) or {}).get(EXAMPLES, {})
    own = {size: examples[size] for size in SIZES if examples.get(size) is not None}
    own |= {key: getattr(run.preprocessing, key) for key in getattr(run.preprocessing, "asked", ())}
    made.set_defaults({f"tasks.{key}": value for key, value in own.items() if key in inspect.signature(TASKS[name]).parameters})


def other_tasks(run: Run, name: str, options: Any) -> TaskDistribution:
    """The meta-test tasks that the options name; of all classes, where no split is asked for.

    Raises:
        UnsupportedError: what does not fit the run, by name.
    """
    given = {"name": name, **plain_options(options.tasks)}
    takes = inspect.signature(TASKS[name]).parameters
    if "part" in takes and given["split"] == takes["split"].default:
        given["part"] = "test"
    tasks = build_tasks({"tasks": given})
    seen = {one for part in ("train", "validation") for one in run.splits.get(part, [])}
    if shared := seen & set(tasks.classes["test"]):
        print(f"warning: {len(shared)} of these classes are called as classes that the run was trained on", file=sys.stderr)
    return fitted(run.path, run.preprocessing, tasks.test, "--tasks")
