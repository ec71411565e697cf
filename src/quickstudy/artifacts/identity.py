"""identity.json: which tasks a run is of, by the hash of their content, and what their examples are. It goes on on these alone.

{"train": "178bb890...", "validation": "5cfd8547...", "test": "70d29758...",
 "examples": {"features": [[1, 28, 28]], "target": "Labels", "ways": 5, "shots": 1, "queries": 15}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from quickstudy.calls import plain
from quickstudy.episode import Episode
from quickstudy.errors import CheckpointError
from quickstudy.files import read_sealed, write_sealed
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.fingerprint import fingerprint

IDENTITY, EXAMPLES = "identity.json", "examples"


def write_identity(folder: Path, tasks: Any) -> None:
    """Write the hashes of the tasks into a run's folder."""
    write_sealed(folder / IDENTITY, fingerprint(tasks) | {EXAMPLES: examples_of(tasks)})


def examples_of(tasks: Any) -> dict[str, Any]:
    """What the examples of these tasks are: the shape of x, the kind of y, and how many are in a task."""
    part = tasks if not isinstance(tasks, TaskFamily) else list(tasks.parts.values())[-1]
    batch = part.sample(1, generator=torch.Generator().manual_seed(0))
    sizes = {name: plain(size) for name, size in part.protocol.items()}
    if not isinstance(batch, Episode):
        return sizes
    features = [list(leaf.shape[2:]) for leaf in tree_leaves(batch.query.x)]
    return {"features": features, "target": type(batch.query.target).__name__, **sizes}


def identity(folder: Path) -> dict[str, Any] | None:
    """The hashes in a run's folder; None in a folder without them."""
    path = folder / IDENTITY
    return read_sealed(path, expected="hashes of tasks, by part", do="Train the run again.") if path.is_file() else None


def check_tasks(folder: Path, tasks: Any) -> None:
    """Raise CheckpointError if the run in `folder` is of other tasks."""
    want = identity(folder)
    if want is None:
        return
    found = fingerprint(tasks)
    if other := [part for part in want if part != EXAMPLES and found.get(part) != want[part]]:
        raise CheckpointError(
            "tasks",
            expected=f"the tasks of the run in {folder}",
            got=f"others: {', '.join(other)} differ in their data, classes or preprocessing",
            do="Give the data and the split that the run was started with, or start another run.",
        )
