"""Common to all sources: from labelled items of any kind to named classes, a split by class, and a task family.

A source gives the items and the class name of each; all checks that need no item run before one is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from quickstudy.errors import LabelError
from quickstudy.tasks.construction.augmentation import Rotations
from quickstudy.tasks.distribution.class_lists import FRACTIONS, split_classes
from quickstudy.tasks.distribution.class_names import in_order
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.splits import Splits, check_apart
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.labels import check_enough
from quickstudy.tasks.sources.options import Protocol


def family_of(
    names: Sequence[str], items: Items, protocol: Protocol, *, parts: Splits | None = None
) -> TaskFamily[LabelledTasks]:
    """The task family of labelled items.

    Args:
        names: the class of each item.
        items: reads them; called once for each part.
        parts: the split by files or folders, used if `protocol.split` is None.

    Raises:
        LabelError: fewer than three classes.
        TaskError: a class in two parts; more ways, shots or queries than a part can give.
    """
    protocol.check()
    classes = in_order(names)
    if len(classes) < 3:
        raise LabelError(
            "y",
            expected="three classes or more: some to train, to validate and to test",
            got=f"{len(classes)}: {', '.join(classes)}" if classes else "none",
            do="Bring more classes, or adapt a learner that is meta-trained already (quickstudy predict).",
        )
    if protocol.split is not None or parts is None:
        parts = split_classes(classes, FRACTIONS if protocol.split is None else protocol.split, protocol.seed)
    check_apart(parts)
    rows: dict[str, list[int]] = {name: [] for name in classes}
    for row, name in enumerate(names):
        rows[name].append(row)
    for part, part_classes in parts.items():
        _check_part(part, part_classes, [len(rows[name]) for name in part_classes], protocol)
    tasks, preprocessing = {}, items.preprocessing
    for part, part_classes in parts.items():
        training = part == "train"
        x = items.take([row for name in part_classes for row in rows[name]], part)
        y = torch.arange(len(part_classes)).repeat_interleave(torch.tensor([len(rows[name]) for name in part_classes]))
        if training and preprocessing is not None and items.normalise:
            preprocessing = preprocessing.fitted(x)
        part_names = list(part_classes)
        for one in protocol.augment if training else ():
            if isinstance(one, Rotations):
                x, y, part_names = one.classes(x, y, part_names)
        tasks[part] = LabelledTasks(
            x,
            y,
            ways=protocol.ways,
            shots=protocol.shots,
            queries=protocol.queries,
            class_names=part_names,
            preprocessing=preprocessing,
            transform=protocol.transform if training else (),
            augment=[one for one in protocol.augment if not isinstance(one, Rotations)] if training else (),
        )
    return TaskFamily(tasks["train"], tasks["validation"], tasks["test"])


def _check_part(part: str, names: Sequence[str], counts: list[int], protocol: Protocol) -> None:
    turns = 4 if part == "train" and any(isinstance(one, Rotations) for one in protocol.augment) else 1
    where = f"of {part}" + (f" under split={protocol.split!r}" if isinstance(protocol.split, tuple) else "")
    all_names, all_counts = [*names] * turns, torch.tensor(counts * turns)
    check_enough(all_names, all_counts, protocol.ways, protocol.shots, protocol.queries, where)
