"""identity.json: which tasks a run is of, by the hash of their content. A run goes on, and is scored, on these alone.

{"train": "178bb890...", "validation": "5cfd8547...", "test": "70d29758..."}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quickstudy.errors import CheckpointError
from quickstudy.files import read_sealed, write_sealed
from quickstudy.tasks.distribution.fingerprint import fingerprint

IDENTITY = "identity.json"


def write_identity(folder: Path, tasks: Any) -> None:
    """Write the hashes of the tasks into a run's folder."""
    write_sealed(folder / IDENTITY, fingerprint(tasks))


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
    if other := [part for part in want if found.get(part) != want[part]]:
        raise CheckpointError(
            "tasks",
            expected=f"the tasks of the run in {folder}",
            got=f"others: {', '.join(other)} differ in their data, classes or preprocessing",
            do="Give the data and the split that the run was started with, or start another run.",
        )
