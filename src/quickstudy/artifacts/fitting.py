"""Other tasks as the learner of a run sees them: read as those that it was trained on, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.artifacts.identity import EXAMPLES, examples_of, identity
from quickstudy.errors import UnsupportedError
from quickstudy.tasks.distribution.interface import TaskDistribution


def fitted(folder: Path, reads: Any, tasks: TaskDistribution, argument: str = "tasks") -> TaskDistribution:
    """The tasks, their images normalised as those of the run in `folder`.

    Args:
        folder: the run's.
        reads: its preprocessing; None where it was not trained on images.
        tasks: to score it on.
        argument: how errors call them.

    Raises:
        UnsupportedError: images of other channels, size or ground; examples of another shape; another kind of target.
    """
    own = getattr(tasks, "preprocessing", None)
    if reads is not None and own is not None:
        if type(own) is not type(reads):
            kinds = (type(reads).__name__, type(own).__name__)
            raise _other(f"{argument}.preprocessing", kinds[0], kinds[1], "Read examples as the run's preprocessing.json says, ")
        for name in reads.asked:
            want, found = getattr(reads, name), getattr(own, name)
            if found != want:
                raise _other(f"{argument}.{name}", want, found, f"Give {argument}.{name} as in the run's preprocessing.json, ")
        tasks = tasks.with_()
        tasks.__dict__["preprocessing"] = reads
    want, found = (identity(folder) or {}).get(EXAMPLES, {}), examples_of(tasks)
    for name, what in (("target", "target"), ("features", "shape of an example")):
        if name in want and found.get(name) != want[name]:
            raise _other(argument, f"the {what} {want[name]}", f"the {what} {found.get(name)}", "Name such tasks, ")
    return tasks


def _other(argument: str, want: Any, found: Any, do: str) -> UnsupportedError:
    return UnsupportedError(
        argument, expected=f"{want}, as the run was trained with", got=str(found), do=f"{do}or train on these."
    )
