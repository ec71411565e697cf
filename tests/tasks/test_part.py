"""part="test": all classes are scored, none is trained on, and what asks for training is refused with the reason."""

from __future__ import annotations

import pickle

import pytest
import torch
from PIL import Image

import quickstudy as qs
from quickstudy import errors
from quickstudy.tasks.distribution.fingerprint import fingerprint

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = [name for name in "abcd" for _ in range(10)]


class Items(torch.utils.data.Dataset):
    """A data set with labels."""

    targets = Y

    def __len__(self):
        return len(X)

    def __getitem__(self, row):
        return X[row], Y[row]


def of_folder(tmp_path, **options):
    for row, name in enumerate(Y):
        path = tmp_path / "pictures" / name / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), row).save(path)
    return qs.tasks.from_folder(tmp_path / "pictures", size=8, channels=1, **options)


def of_csv(tmp_path, **options):
    rows = "\n".join(f"{row},{-row},{name}" for row, name in enumerate(Y))
    (tmp_path / "table.csv").write_text(f"width,height,label\n{rows}\n", encoding="utf-8")
    return qs.tasks.from_csv(tmp_path / "table.csv", features="*", **options)


SOURCES = {
    "folder": of_folder,
    "csv": of_csv,
    "arrays": lambda tmp_path, **options: qs.tasks.from_arrays(X, Y, **options),
    "dataset": lambda tmp_path, **options: qs.tasks.from_dataset(Items(), **options),
}


@pytest.mark.parametrize("source", SOURCES)
def test_all_classes_are_in_it(source, tmp_path):
    tasks = SOURCES[source](tmp_path, part="test", ways=4, queries=3)
    assert tasks.classes == {"train": [], "validation": [], "test": ["a", "b", "c", "d"]}
    assert list(tasks.parts) == ["test"]
    assert qs.evaluate(qs.NearestCentroid(), tasks.test, 4).mean >= 0
    assert repr(tasks).startswith("TaskFamily(\n  test=LabelledTasks(4 classes, 40 examples")
    assert list(fingerprint(tasks)) == ["test"]
    assert pickle.loads(pickle.dumps(tasks)).with_(ways=2).classes == tasks.classes


@pytest.mark.parametrize("source", SOURCES)
def test_training_on_it_is_refused_with_the_reason(source, tmp_path):
    tasks = SOURCES[source](tmp_path, part="test", ways=2, queries=3)
    message = (
        r"`tasks.train`: expected a family with meta-training classes, to train on, got one with 'test' alone \(4 classes\), as "
    )
    with pytest.raises(
        errors.UnsupportedError, match=message + r"part= asked for\. Leave `part` out, so that the classes are split"
    ):
        qs.meta_train(qs.NearestCentroid(), tasks, steps=1, tasks_per_step=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(errors.UnsupportedError, match=r"`tasks.validation`: expected a family with meta-validation classes"):
        _ = tasks.validation
    with pytest.raises(AttributeError, match="'TaskFamily' has no attribute 'tests'"):
        _ = tasks.tests


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"split": (2, 1, 1)}, "split"),
        ({"augment": [qs.tasks.Rotations()]}, "augment"),
        ({"transform": [qs.tasks.RandomFlip()]}, "transform"),
    ],
)
def test_what_is_of_training_is_refused_beside_it(options, name):
    with pytest.raises(errors.ArgumentError, match=f"`{name}`: expected nothing beside part='test', by which all classes are"):
        qs.tasks.from_arrays(X, Y, part="test", ways=2, **options)


def test_another_part_is_refused():
    with pytest.raises(errors.ArgumentError, match="`part`: expected"):
        qs.tasks.from_arrays(X, Y, part="train", ways=2)


def test_one_class_more_than_ways_is_enough_where_a_split_needs_three():
    tasks = qs.tasks.from_arrays(X[:20], Y[:20], part="test", ways=2, queries=None)
    assert (tasks.test.ways, tasks.test.queries) == (2, 9)
    with pytest.raises(errors.TaskError, match=r"at most the 2 classes there are, got 3\. Give ways=2 \(--tasks\.ways 2\)"):
        qs.tasks.from_arrays(X[:20], Y[:20], part="test", ways=3, queries=None)


def test_groups():
    group = torch.arange(40) // 10
    tasks = qs.tasks.from_groups(X, X.sum(1), group, part="test", shots=3, queries=4)
    assert tasks.classes["test"] == ["0", "1", "2", "3"]
    with pytest.raises(errors.UnsupportedError, match="meta-training classes"):
        _ = tasks.train
    with pytest.raises(errors.ArgumentError, match="`split`: expected nothing beside part='test'"):
        qs.tasks.from_groups(X, X.sum(1), group, part="test", split=(2, 1, 1))


def test_omniglot(omniglot_root):
    tasks = qs.tasks.Omniglot(omniglot_root, part="test")
    assert len(tasks.classes["test"]) == 1623
    assert tasks.classes["train"] == []
