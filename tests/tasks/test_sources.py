"""Every source's family passes every check; and each check catches a family that breaks it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.domains.images.pictures import CLASSES, LEAST, SMALL, TARGETS, Pictures, draw_folder
from tests.tasks import source_checks
from tests.tasks.tables import Table, groups

import quickstudy as qs
from quickstudy.tasks import FeatureNoise, LabelledTasks, MixTasks, RandomCrop, RandomFlip, Rotations

SOURCES = {
    "arrays": lambda root: lambda **a: qs.tasks.from_arrays(features(), np.repeat(CLASSES, 6), **LEAST | a),
    "arrays of images": lambda root: lambda **a: qs.tasks.from_arrays(images(), np.repeat(np.arange(10), 6), **LEAST | a),
    "folder": lambda root: lambda **a: qs.tasks.from_folder(draw_folder(root / "f"), **SMALL | a),
    "folder, augmented": lambda root: lambda **a: qs.tasks.from_folder(draw_folder(root / "f"), **SMALL | AUGMENTED | a),
    "csv": lambda root: lambda **a: qs.tasks.from_csv(table(root), **SMALL | a),
    "dataset": lambda root: lambda **a: qs.tasks.from_dataset(Pictures(targets=TARGETS), **SMALL | a),
    "huggingface": lambda root: lambda **a: qs.tasks.from_huggingface(Table(), **SMALL | a),
    "groups": lambda root: lambda **a: qs.tasks.from_groups(*groups(), shots=2, queries=3, **a),
    "groups in time": lambda root: (
        lambda **a: qs.tasks.from_groups(*groups(), time=groups()[1], horizon=0, shots=2, queries=3, **a)
    ),
}
AUGMENTED = {"augment": [Rotations(), FeatureNoise(0.1), MixTasks()], "transform": [RandomCrop(1), RandomFlip()]}


def features():
    return np.random.default_rng(0).normal(size=(60, 5))


def images():
    return np.random.default_rng(0).integers(0, 255, (60, 8, 8, 3), dtype=np.uint8)


def table(root: Path) -> Path:
    folder = draw_folder(root / "images")
    with (root / "all.csv").open("w", newline="") as file:
        rows = [(path.relative_to(folder).as_posix(), path.parent.name) for path in sorted(folder.rglob("*.png"))]
        csv.writer(file).writerows([("filename", "label"), *rows])
    return root / "all.csv"


@pytest.mark.parametrize("source", SOURCES)
def test_checks(source: str, tmp_path: Path):
    source_checks.check_family(SOURCES[source](tmp_path))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of two workers, on one core
def test_the_number_of_workers_changes_nothing(tmp_path: Path):
    source_checks.check_workers(SOURCES["folder, augmented"](tmp_path)().train)


# ---- the controls -------------------------------------------------------------------------------------------------------


class OwnRandomness(LabelledTasks):
    def sample(self, n, *, generator=None):
        return super().sample(n)


class Repeats(LabelledTasks):
    """The query is the support."""

    def sample(self, n, *, generator=None):
        episode = super().sample(n, generator=generator)
        return qs.Episode(episode.support, episode.support)


class GlobalState(LabelledTasks):
    def sample(self, n, *, generator=None):
        torch.rand(1)
        return super().sample(n, generator=generator)


class NoRange(LabelledTasks):
    def with_(self, *, ways=None, shots=None, queries=None):
        return super().with_(ways=ways)


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (OwnRandomness, source_checks.check_seeds, "one seed, two batches"),
        (GlobalState, source_checks.check_seeds, "the global random state was read"),
        (Repeats, source_checks.check_rows, "a row stands twice"),
        (NoRange, source_checks.check_sizes, "sizes"),
    ],
)
def test_a_check_catches(broken, check, message: str):
    tasks = broken(torch.randn(60, 3), torch.arange(60) % 10, ways=2, shots=1, queries=2)
    check(LabelledTasks(torch.randn(60, 3), torch.arange(60) % 10, ways=2, shots=1, queries=2))
    with pytest.raises(AssertionError, match=message):
        check(tasks)
