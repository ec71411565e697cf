"""Every number of a run reaches the service that was asked for, read back from what the service itself wrote."""

from __future__ import annotations

import importlib
import sys
import time

import mlflow
import pytest
import torch

import quickstudy as qs
from quickstudy.artifacts.tracking import tracker
from quickstudy.errors import ArgumentError, MissingPackageError

CONFIG = {"learner": {"name": "maml", "inner_lr": 0.01}, "train": {"steps": 4}}


def tracked(name, folder):
    """The run's history."""
    torch.manual_seed(0)
    learner = qs.MAML(qs.models.mlp(1, 1, hidden=(4,)), inner_lr=0.01)
    with tracker(name, folder, CONFIG) as track:
        return qs.meta_train(
            learner,
            qs.tasks.Sinusoid(shots=5),
            steps=4,
            tasks_per_step=2,
            executor="loop",
            validation_episodes=4,
            out=folder,
            track=track,
            progress=False,
        ).history


def test_tensorboard(tmp_path):
    history = tracked("tensorboard", tmp_path / "run")
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (record["step"], pytest.approx(record["loss"])) for record in history
    ]
    assert {"loss", "validation", "seconds"} <= set(events.Tags()["scalars"])


def test_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    history = tracked("wandb", tmp_path / "run")
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    wanted = [b"validation", *(repr(record["loss"]).encode() for record in history)]
    deadline = time.monotonic() + 30  # a process of the service's own writes the file, late on a busy machine
    while not all(part in file.read_bytes() for part in wanted) and time.monotonic() < deadline:
        time.sleep(0.2)
    content = file.read_bytes()
    assert [part for part in wanted if part not in content] == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    history = tracked("mlflow", tmp_path / "run")
    (run,) = mlflow.search_runs(experiment_names=["quickstudy"], output_format="list")
    found = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert {metric.step: metric.value for metric in found} == {
        record["step"]: pytest.approx(record["loss"]) for record in history
    }
    assert run.data.params["learner.inner_lr"] == "0.01"


def test_a_service_that_does_not_exist(tmp_path):
    with pytest.raises(ArgumentError, match="`--tracking`: expected one of tensorboard, wandb, mlflow, got excel"):
        tracker("excel", tmp_path).__enter__()


def test_a_library_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingPackageError, match=r"`--tracking wandb`: expected the extra \[tracking\], got no wandb"):
        tracker("wandb", tmp_path).__enter__()
