"""A run's folder, as the outer loop writes it. One process at a time.

RUN/config.yaml         everything needed to repeat the run
RUN/splits.json         the classes of meta-training, meta-validation and meta-test
RUN/preprocessing.json  how an image file becomes what the learner sees
RUN/environment.json    versions and hardware
RUN/identity.json       hashes of its tasks, and what their examples are
RUN/learner/            the best learner so far
RUN/ensemble/           the best few together, with `keep` above 1
RUN/metrics.jsonl       one record per meta-step
RUN/checkpoints/        the whole state, at intervals
RUN/calibration.json    temperature, and the threshold of "unknown", once it has ended
RUN/result.json         how it ended, once it has

`meta_train` writes it, for the command line too.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from quickstudy.artifacts.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from quickstudy.artifacts.config import CONFIG, read_config, write_config
from quickstudy.artifacts.environment import environment
from quickstudy.artifacts.identity import check_tasks, write_identity
from quickstudy.errors import ArgumentError, CheckpointError
from quickstudy.evaluation.calibration import CALIBRATION, calibrate
from quickstudy.files import append_text, write_json, write_text
from quickstudy.learners.learner import Learner
from quickstudy.tasks import TaskDistribution, TaskFamily
from quickstudy.tasks.distribution.size import largest

RESULT, SPLITS, ENVIRONMENT = "result.json", "splits.json", "environment.json"
HELD = ("checkpoints", "learner", RESULT, "evaluation.json")  # by which a folder is known to hold a run


class RunFolder:
    """The folder `path`, locked while entered.

    Nothing is written before `begin`, which is called when everything has been checked: what is refused changes nothing.

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
        self._made = False  # by us, and nothing written yet: it goes again where the run is refused

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
        self._made = self._made or not self.path.exists()
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
        held = [name for name in HELD if (self.path / name).exists()]
        if not self.resume and held:
            self._lock.release()
            raise ArgumentError(
                f"out={str(self.path)!r}",
                expected="a folder without a run, or resume=True",
                got=f"one with {held[0]}",
                do=f"Go on with it by `quickstudy resume {self.path}` (meta_train(..., resume=True)), or give another folder.",
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()
        if self._made and not self._lock.is_locked:
            with suppress(OSError):
                (self.path / "lock").unlink(missing_ok=True)
                self.path.rmdir()

    def check(self, tasks: Any) -> None:
        """Raise CheckpointError if the run in the folder is of other tasks."""
        if self.resume:
            check_tasks(self.path, tasks)

    def begin(self, tasks: Any, config: dict[str, Any]) -> None:
        """Write what the run is of: its settings, its tasks, and where it runs. What a resumed run started from stays."""
        self._made = False
        for of_the_end in (RESULT, CALIBRATION):
            (self.path / of_the_end).unlink(missing_ok=True)
        if self.resume and (self.path / CONFIG).is_file():
            config = {**config, "start": read_config(self.path / CONFIG).get("start", "given")}
        write_config(self.path, config)
        write_json(self.path / SPLITS, classes_of(tasks))
        if (reads := getattr(tasks, "preprocessing", None)) is not None:
            reads.save(self.path)
        write_json(self.path / ENVIRONMENT, environment(), indent=1)
        write_identity(self.path, tasks)

    def finish(self, result: dict[str, Any], learner: Learner, validation: TaskDistribution | None) -> None:
        """Write how the run ended, and the calibration of its learner where the tasks have classes enough to leave one out."""
        ways, names = getattr(validation, "ways", None), getattr(validation, "class_names", [])
        if validation is not None and ways is not None and len(names) > largest(ways):
            calibrate(learner, validation).save(self.path)
        write_json(self.path / RESULT, result)

    def save(self, step: int, state: Any) -> None:
        """Save a checkpoint."""
        save_checkpoint(self.path / "checkpoints", step, state)

    def load(self) -> tuple[int, Any, list[str]] | None:
        """The newest readable checkpoint: step, state and notes on those passed over; None without `resume` or a checkpoint."""
        folder = self.path / "checkpoints"
        return load_checkpoint(folder) if self.resume and checkpoints(folder) else None

    def append(self, record: dict[str, Any]) -> None:
        """Append a record to the metrics."""
        append_text(self.metrics, json.dumps(record) + "\n")

    def history(self, until: int) -> list[dict[str, Any]]:
        """The records up to step `until`; later or incomplete ones, left by a killed run, are removed from the file."""
        kept = [record for record in read_metrics(self.metrics) if record["step"] <= until]
        write_text(self.metrics, "".join(json.dumps(record) + "\n" for record in kept))
        return kept


def classes_of(tasks: Any) -> dict[str, list[str]]:
    """The class names of each part of the tasks; those of a single distribution are of "train"."""
    return tasks.classes if isinstance(tasks, TaskFamily) else {"train": list(getattr(tasks, "class_names", []))}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file; a truncated last line is ignored."""
    records: list[dict[str, Any]] = []
    if not path.is_file():
        return records
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # the line at which the run was killed
            break
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            break
        records.append(record)
    return records
