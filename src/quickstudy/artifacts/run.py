"""Run: a run's folder in Python.

What `quickstudy.artifacts.run_folder` lists, and

RUN/evaluation.json     its score on meta-test tasks
RUN/report.html         the same as a report
"""

from __future__ import annotations

import dataclasses
import math
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from torch import nn

from quickstudy import registry
from quickstudy.arguments import Several
from quickstudy.artifacts.checkpoint import checkpoints
from quickstudy.artifacts.config import CONFIG, read_config
from quickstudy.artifacts.fitting import fitted
from quickstudy.artifacts.identity import IDENTITY, check_tasks, identity
from quickstudy.artifacts.rebuilding import build_tasks
from quickstudy.artifacts.run_folder import RESULT, SPLITS, read_metrics
from quickstudy.artifacts.store import class_in, load, run_folder, weights_hash
from quickstudy.errors import CheckpointError, QuickstudyError, UnsupportedError
from quickstudy.evaluation.evaluate import Evaluation, evaluate
from quickstudy.files import SEAL, read_json, read_sealed, write_sealed
from quickstudy.learners.learner import Learner
from quickstudy.tasks import Preprocessing
from quickstudy.tasks.distribution.interface import PREPROCESSING, TaskDistribution

METRICS, EVALUATION = "metrics.jsonl", "evaluation.json"
CONFUSIONS = 50  # that a record keeps
AGAIN = "Run the command again that wrote it."


class Run:
    """A run's folder: `Run.open("runs/maml")`.

    `quickstudy train` and `meta_train(out=)` write the same folder. Files are read on access.

    Args:
        path: the folder.
        tasks: its task family; None: made again from the config, which may take a while. Needed where the tasks are made of what
            no config can describe: arrays in memory.

    Raises:
        CheckpointError: the folder is not a run's.

    Examples:
        >>> learner, tasks = qs.Prototypical(qs.models.mlp(4, 8)), qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> _ = qs.meta_train(learner, tasks, steps=2, tasks_per_step=2, validation_episodes=5, out="run", progress=False)
        >>> run = qs.Run.open("run")
        >>> type(run.learner).__name__, len(run.metrics), run.state
        ('Prototypical', 2, 'finished')
    """

    def __init__(self, path: str | Path, tasks: Any = None):
        self.path = Path(path)
        if tasks is not None:
            self.tasks = tasks
        if not any((self.path / name).exists() for name in (CONFIG, METRICS, "learner")):
            raise _no_run(self.path, "a run folder, with config.yaml and learner/")

    def __repr__(self) -> str:
        try:
            (learner, tasks), state = self.names, self.state
        except QuickstudyError:
            return f"Run({str(self.path)!r}, not readable)"
        return f"Run({str(self.path)!r}: {learner or 'no learner yet'}{f' on {tasks}' if tasks else ''}, {state})"

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_run

        return of_run(self)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The run in this folder."""
        return cls(path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml: see `quickstudy.artifacts.config`.

        Raises:
            CheckpointError: the folder has none.
        """
        if not (self.path / CONFIG).is_file():
            raise _no_run(self.path, f"a run, with {CONFIG}")
        return read_config(self.path / CONFIG)

    @cached_property
    def tasks(self) -> Any:
        """The task family it was trained on.

        Raises:
            CheckpointError: the config makes other tasks than the run was trained on: the data or the split have changed; or it
                cannot make them, since they are of arrays in memory.
        """
        tasks = build_tasks(self.config)
        check_tasks(self.path, tasks)
        return tasks

    @property
    def names(self) -> tuple[str, str | None]:
        """What the config calls the learner and the tasks; without one, the class of the saved learner and None."""
        if (self.path / CONFIG).is_file():
            learner = self.config["learner"]
            named = learner["name"] if "name" in learner else learner.get("class", learner.get("own", ""))
            return str(named).rpartition(".")[2], self.config["tasks"]["name"]
        return class_in(self.path / "learner") if (self.path / "learner").is_dir() else "", None

    @property
    def learner(self) -> Learner:
        """The best learner. Use `load` if it has parts of your own."""
        return self.load()

    def load(self, network: nn.Module | None = None, **foreign: Any) -> Learner:
        """The best learner, given the parts of your own that it was built with: see `quickstudy.load`."""
        found = load(self.path / "learner", network, **foreign)
        if not isinstance(found, Learner):
            raise _no_run(self.path, "a run folder, whose learner/ holds a learner")
        return found

    @cached_property
    def preprocessing(self) -> Any:
        """How a file becomes what the learner sees, an object of the domain of its data; None where there is nothing to do."""
        return read_preprocessing(self.path) if (self.path / PREPROCESSING).is_file() else None

    def fitted(self, tasks: TaskDistribution) -> TaskDistribution:
        """Other tasks as this run reads its own, to score it on: `evaluate(run.learner, run.fitted(others.test))`.

        Raises:
            UnsupportedError: images of other channels or another size, examples of another shape, another kind of target.
        """
        return fitted(self.path, self.preprocessing, tasks)

    def score(self, episodes: Several = 600, seed: int = 0, *, progress: bool = False) -> Evaluation:
        """Score the learner on its meta-test tasks. `evaluation` keeps the one of the most episodes."""
        result = evaluate(self.learner, self.tasks.test, episodes, seed, progress=progress)
        kept = self.evaluation
        if (kept is None or kept["protocol"]["episodes"] < episodes) and os.access(self.path, os.W_OK):
            write_evaluation(self.path, result)
        return result

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The score of this learner on meta-test tasks; None until there is one. A score of another learner or of other tasks
        that the folder held before does not count.
        """
        path = self.path / EVALUATION
        found = read_sealed(path, expected="scores, as quickstudy wrote them", do=AGAIN) if path.is_file() else None
        return found if found is None or found.get("of") == _scored(self.path) else None

    @property
    def ended(self) -> dict[str, Any] | None:
        """How the training ended (`TrainingResult.summary`); None while it has not."""
        path = self.path / RESULT
        if not path.is_file():
            return None
        found = read_json(path, expected="how a run ended, as quickstudy wrote it", do=AGAIN)
        if not isinstance(found, dict) or not {"steps", "stopped"} <= found.keys():
            raise CheckpointError(str(path), expected="how a run ended: steps, stopped", got=str(found)[:100], do=AGAIN)
        return found

    @property
    def splits(self) -> dict[str, list[str]]:
        """The class names of meta-training, meta-validation and meta-test; empty if the run has none."""
        path = self.path / SPLITS
        found = read_json(path, expected="a list of class names for each part", do=AGAIN) if path.is_file() else {}
        if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found.values()):
            raise CheckpointError(str(path), expected="a list of class names for each part", got=str(found)[:100], do=AGAIN)
        return found

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of the meta-steps."""
        return read_metrics(self.path / METRICS)

    @property
    def state(self) -> str:
        """'finished', 'resumable from step N' (the newest checkpoint), or 'empty'."""
        if self.evaluation is not None or (self.path / RESULT).is_file():
            return "finished"
        found = checkpoints(self.path / "checkpoints")
        return f"resumable from step {int(found[0].stem[5:])}" if found else "empty"


def ready_to_predict(run: str, *kinds: str) -> tuple[Learner, Any]:
    """The learner of a run, or one that comes along, with its preprocessing.

    Args:
        run: its folder, or its name.
        kinds: of data that it may have been trained on, such as "images": see `quickstudy.tasks.sources.kind`.

    Raises:
        CheckpointError: no such run.
        UnsupportedError: a run that was not trained on any of these kinds.
    """
    found = Run(run_folder(run))
    known = registry.kinds()
    if not isinstance(found.preprocessing, tuple(one for kind in kinds for one in known[kind].preprocessings)):
        raise UnsupportedError(
            "RUN",
            expected=f"a run that was trained on {' or '.join(kinds)}",
            got=f"{run!r}, " + (f"without {PREPROCESSING}" if found.preprocessing is None else "trained on other data"),
            do="Use qs.load in Python.",
        )
    return found.learner, found.preprocessing


def read_preprocessing(folder: Path) -> Any:
    """The preprocessing in a folder, of whichever domain it is: each class is told by its fields.

    Raises:
        CheckpointError: there is no such file, or it is of none of them.
    """
    do = "preprocessing.save(folder) writes one, as every run does."
    names = set(read_json(folder / PREPROCESSING, expected="how examples are read", do=do)) - {SEAL}
    classes = [one for kind in registry.kinds().values() for one in kind.preprocessings]
    found = next((one for one in classes if {field.name for field in dataclasses.fields(one)} == names), Preprocessing)
    return found.load(folder)


def write_evaluation(folder: Path, result: Evaluation) -> None:
    """evaluation.json: the scores, also by class, and their protocol; null for an episode that leaves a metric undefined."""
    record = {"mean": result.mean, "ci95": result.ci95, "protocol": result.protocol, "per_episode": _defined(result.per_episode)}
    others = {
        name: {"mean": one.mean, "ci95": one.ci95, "per_episode": _defined(one.per_episode)}
        for name, one in result.others.items()
    }
    more = ({"others": others} if others else {}) | by_class(result)
    write_sealed(folder / EVALUATION, record | more | {"of": _scored(folder)})


def by_class(result: Evaluation) -> dict[str, Any]:
    """The entry "by_class" of a record: all classes and the 50 most frequent confusions; none for tasks without classes."""
    if result._by_class is None:
        return {}
    found = result._by_class.to_dict()
    return {"by_class": {**found, "confusions": found["confusions"][:CONFUSIONS]}}


def _scored(folder: Path) -> dict[str, Any]:
    """What a score in this folder is of: the learner, by the hash of its weights, and the tasks."""
    inside = folder / "learner"
    home = folder if (folder / IDENTITY).is_file() else folder.parent
    return {"learner": weights_hash(inside if inside.is_dir() else folder), "tasks": (identity(home) or {}).get("test")}


def _defined(scores: list[float]) -> list[float | None]:
    return [None if math.isnan(one) else one for one in scores]


def _no_run(path: Path, expected: str) -> CheckpointError:
    held = "a folder without it" if path.is_dir() else "no such folder"
    return CheckpointError(
        str(path),
        expected=expected,
        got=held,
        do="Give the folder that `quickstudy train` printed last; `quickstudy list` shows those there are.",
    )
