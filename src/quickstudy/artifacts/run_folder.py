"""A run's folder, as the outer loop writes it. One process at a time.

RUN/learner/          the best learner so far
RUN/ensemble/         the best few together, with `keep` above 1
RUN/metrics.jsonl     one record per meta-step
RUN/checkpoints/      the whole state, at intervals
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from quickstudy.artifacts.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.files import write_text


class RunFolder:
    """The folder `path`, locked while entered.

    Args:
        path: the folder; created if missing.
        resume: continue the run in it.

    Raises:
        CheckpointError: on entering, if another process is writing this run.
        ArgumentError: on entering, if the folder holds a run and `resume` is False.
    """

    def __init__(self, path: str | Path, resume: bool = False):
        self.path, self.resume = Path(path), resume
        self._lock = FileLock(self.path / "lock", timeout=0)

    @property
    def learner(self) -> Path:
        """The folder of the best learner."""
        return self.path / "learner"

    @property
    def ensemble(self) -> Path:
        """The folder of the ensemble of the best."""
        return self.path / "ensemble"

    @property
    def metrics(self) -> Path:
        """The file with one JSON record per meta-step."""
        return self.path / "metrics.jsonl"

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise CheckpointError(
                f"out={str(self.path)!r}",
                expected="a run that no other process writes",
                got="one that another process holds (its file `lock`)",
                do="Wait for it to end, or give another folder.",
            ) from error
        if not self.resume and checkpoints(self.path / "checkpoints"):
            self._lock.release()
            raise ArgumentError(
                f"out={str(self.path)!r}",
                expected="a folder without a run, or resume=True",
                got="one with checkpoints",
                do=f"Go on with it by `quickstudy resume {self.path}` (meta_train(..., resume=True)), or give another folder.",
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    def save(self, step: int, state: Any) -> None:
        """Save a checkpoint."""
        save_checkpoint(self.path / "checkpoints", step, state)

    def load(self) -> tuple[int, Any, list[str]] | None:
        """The newest readable checkpoint: step, state and notes on those passed over; None without `resume` or a checkpoint."""
        folder = self.path / "checkpoints"
        return load_checkpoint(folder) if self.resume and checkpoints(folder) else None

    def append(self, record: dict[str, Any]) -> None:
        """Append a record to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def history(self, until: int) -> list[dict[str, Any]]:
        """The records up to step `until`; later or incomplete ones, left by a killed run, are removed from the file."""
        kept = [record for record in read_metrics(self.metrics) if record["step"] <= until]
        write_text(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))
        return kept


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file; a truncated last line is ignored."""
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:  # the line at which the run was killed
            break
        if not isinstance(record, dict) or "step" not in record:
            break
        records.append(record)
    return records
