"""What all sources share: labelled items of any kind, named classes, a split by class, and a family at the end.

A source says what the items are (`take`) and what each is called; everything that can fail without reading an item fails first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.errors import LabelError, UnsupportedError
from quickstudy.tasks.construction.augmentation import EpisodeAugmentation, Rotations
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.class_names import in_order
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import Preprocessing, Transform
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size, check_size
from quickstudy.tasks.distribution.splits import Splits, check_apart
from quickstudy.tasks.sources.labels import check_enough

Augment = Sequence[Rotations | EpisodeAugmentation]
Take = Callable[[list[int], str], Tensor]  # the items of these rows, and what they are called while they are read


@dataclass(frozen=True)
class Protocol:
    """What every source is asked for beside its data. `split` None: as the data lie, or by the usual fractions."""

    ways: Size
    shots: Size
    queries: Size
    split: Split | None
    seed: int
    augment: Augment
    transform: Sequence[Transform]

    def check(self) -> None:
        """Raise ArgumentError or UnsupportedError where no data could meet it."""
        check_size("ways", self.ways, 1)
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)
        for name, given in (("augment", self.augment), ("transform", self.transform)):
            for one in given:
                if isinstance(one, type) or not (callable(one) or isinstance(one, Rotations)):
                    raise UnsupportedError(
                        name,
                        expected="objects, as in augment=[Rotations()] and transform=[RandomFlip()]",
                        got=f"the class {one.__name__}" if isinstance(one, type) else repr(one)[:60],
                        do="Call the class." if isinstance(one, type) else "See quickstudy.tasks for those there are.",
                    )


def family_of(
    names: Sequence[str],
    take: Take,
    protocol: Protocol,
    *,
    preprocessing: Preprocessing | None = None,
    normalise: bool = False,
    parts: Splits | None = None,
) -> TaskFamily[LabelledTasks]:
    """The family of labelled items.

    Args:
        names: the class of each item.
        take: reads items; called once for each part.
        preprocessing: what brought images into their form.
        normalise: let it take mean and standard deviation of the meta-training images.
        parts: how the data lie, where they say so and `protocol.split` does not.

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
    for part, own in parts.items():
        _check_part(part, own, [len(rows[name]) for name in own], protocol)
    tasks = {}
    for part, own in parts.items():
        training = part == "train"
        x = take([row for name in own for row in rows[name]], f"{part} images")
        y = torch.arange(len(own)).repeat_interleave(torch.tensor([len(rows[name]) for name in own]))
        if training and preprocessing is not None and normalise:
            preprocessing = preprocessing.fitted(x)
        part_names = list(own)
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
