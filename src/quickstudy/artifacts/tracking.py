"""Tracking: a run's records sent to TensorBoard, Weights & Biases or MLflow, by their own libraries (the extra [tracking]).

    with tracker("tensorboard", "runs/a", config) as track:
        qs.meta_train(learner, tasks, ..., out="runs/a", track=track)

Every number of a record is logged under its name, at its meta-step. A resumed run continues the same log.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, MissingPackageError

Track = Callable[[dict[str, Any], int], None]


@checked
@contextmanager
def tracker(name: str, folder: str | Path, config: Mapping[str, Any] | None = None) -> Iterator[Track]:
    """Open a tracker: yields the `track` argument of `meta_train`, and closes the service's run on exit.

    Args:
        name: "tensorboard" (event files in FOLDER/tensorboard), "wandb" (the project "quickstudy"; its WANDB_ variables
            apply), or "mlflow" (at MLFLOW_TRACKING_URI, else in FOLDER/mlflow.db).
        folder: the run's folder; its name names the run.
        config: the resolved config, logged with the numbers.

    Raises:
        ArgumentError: an unknown name.
        MissingPackageError: the service's library is not installed.
    """
    if name not in TRACKERS:
        raise ArgumentError("--tracking", expected="one of " + ", ".join(TRACKERS), got=name, do="Take one of these names.")
    with TRACKERS[name](Path(folder), _flat(config or {})) as track:
        yield track


@contextmanager
def _tensorboard(folder: Path, config: dict[str, Any]) -> Iterator[Track]:
    _library("tensorboard")
    writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(folder / "tensorboard"))
    writer.add_text("config", "\n\n".join(f"{key}: {value}" for key, value in config.items()), 0)

    def track(record: dict[str, Any], step: int) -> None:
        for key, value in _numbers(record).items():
            writer.add_scalar(key, value, step)

    try:
        yield track
    finally:
        writer.close()


@contextmanager
def _wandb(folder: Path, config: dict[str, Any]) -> Iterator[Track]:
    wandb = _library("wandb")
    name = folder.resolve().name
    run = wandb.init(project="quickstudy", name=name, id=name, resume="allow", config=config, dir=str(folder))
    try:
        yield lambda record, step: run.log(_numbers(record), step=step)
    finally:
        run.finish()


@contextmanager
def _mlflow(folder: Path, config: dict[str, Any]) -> Iterator[Track]:
    import os

    mlflow = _library("mlflow")
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    mlflow.set_experiment("quickstudy")
    name = folder.resolve().name
    known = mlflow.search_runs(filter_string=f"attributes.run_name = '{name}'", max_results=1, output_format="list")
    with mlflow.start_run(run_id=known[0].info.run_id if known else None, run_name=None if known else name):
        if not known:
            mlflow.log_params({key: str(value)[:500] for key, value in config.items()})
        yield lambda record, step: mlflow.log_metrics(_numbers(record), step=step)


TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}


def check_library(name: str) -> None:
    """Raise MissingPackageError where the library of a tracker is not installed, without importing it."""
    if importlib.util.find_spec(name) is None:
        raise _missing(name, f"no {name}")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name, f"no {name} ({error})") from error


def _missing(name: str, got: str) -> MissingPackageError:
    do = f"pip install {name}, or 'quickstudy[tracking]' for all three."
    return MissingPackageError(f"--tracking {name}", expected="the extra [tracking]", got=got, do=do)


def _numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record except its step."""
    return {key: float(value) for key, value in record.items() if key != "step" and isinstance(value, int | float)}


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """{learner: {inner_lr: 0.4}} as {"learner.inner_lr": 0.4}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat
