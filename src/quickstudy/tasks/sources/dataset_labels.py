"""The labels of a map-style Dataset, without decoding an item."""

from __future__ import annotations

from typing import Any

from torch.utils.data import ConcatDataset, Subset, TensorDataset

from quickstudy.errors import LabelError
from quickstudy.tasks.distribution.class_names import as_names

ATTRIBUTES = ("targets", "labels", "y")
Labels = Any  # a sequence, an array, a function of the index, or None


def class_names_of(dataset: Any, labels: Any = None) -> list[str]:
    """The class name of each item.

    Args:
        labels: one for each item, or a function of the index; None: read from `.targets`, `.labels` or `.y`, also of the parts of
            a `Subset`, `ConcatDataset` or `TensorDataset`. Numbers are named by `.classes` (as in torchvision) if present.

    Raises:
        LabelError: no labels, or a number of labels other than the number of items.
    """
    if callable(labels):
        return as_names([labels(index) for index in range(len(dataset))], "labels")
    names = as_names(_found(dataset) if labels is None else labels, "labels")
    if len(names) != len(dataset):
        raise LabelError(
            "labels",
            expected=f"{len(dataset)}, one for each item",
            got=str(len(names)),
            do="Give labels in the order of the items.",
        )
    return names


def _found(dataset: Any) -> list[Any]:
    for name in ATTRIBUTES:
        found = getattr(dataset, name, None)
        if found is not None:
            return _named(list(found.tolist() if hasattr(found, "tolist") else found), getattr(dataset, "classes", None))
    if isinstance(dataset, Subset):
        every = _found(dataset.dataset)
        return [every[index] for index in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        return [label for part in dataset.datasets for label in _found(part)]
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 1 and not dataset.tensors[-1].is_floating_point():
        return dataset.tensors[-1].tolist()
    raise LabelError(
        "dataset",
        expected="labels as " + ", ".join(f".{name}" for name in ATTRIBUTES),
        got=f"a {type(dataset).__name__} without them",
        do="Pass labels=[...], one for each item, or a function of the index: labels=lambda index: ...",
    )


def _named(labels: list[Any], classes: Any) -> list[Any]:
    """Numbers by the names of `classes`, where it has one for each."""
    if not isinstance(classes, list | tuple) or not all(isinstance(label, int) and 0 <= label < len(classes) for label in labels):
        return labels
    return [str(classes[label]) for label in labels]
