"""Common to all sources: from labelled items of any kind to named classes, a split by class, and a task family.

A source gives the items and the class name of each; all checks that need no item run before one is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from quickstudy.errors import LabelError
from quickstudy.tasks.construction.augmentation import Rotations
from quickstudy.tasks.distribution.class_lists import FRACTIONS, split_classes
from quickstudy.tasks.distribution.class_names import in_order
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import Splits, check_apart
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.labels import check_enough
from quickstudy.tasks.sources.options import QUERIES, Protocol
from quickstudy.tasks.sources.proposal import TOO_FEW, proposal, queries_for


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
    counts = Counter(names)
    queries = queries_for(counts, protocol.shots, QUERIES) if protocol.queries is None else protocol.queries
    parts = _parts(classes, counts, protocol, queries, parts)
    rows: dict[str, list[int]] = {name: [] for name in classes}
    for row, name in enumerate(names):
        rows[name].append(row)
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
            queries=queries,
            class_names=part_names,
            preprocessing=preprocessing,
            transform=protocol.transform if training else (),
            augment=[one for one in protocol.augment if not isinstance(one, Rotations)] if training else (),
        )
    return TaskFamily(*map(tasks.get, SPLITS))


def _parts(classes: list[str], counts: Mapping[str, int], protocol: Protocol, queries: Size, parts: Splits | None) -> Splits:
    """The classes of each part, of which there are enough, each with enough examples.

    Raises:
        LabelError, TaskError, ArgumentError: see `family_of`.
    """
    sizes = (protocol.ways, protocol.shots, queries)
    if protocol.part is not None and classes:
        do = proposal(list(counts.values()), [len(classes)], *sizes)
        check_enough(classes, torch.tensor([counts[name] for name in classes]), *sizes, do=do)
        return {protocol.part: classes}
    if len(classes) < 3:
        raise LabelError(
            "y",
            expected="three classes or more: some to train, to validate and to test",
            got=f"{len(classes)}: {', '.join(classes)}" if classes else "none",
            do=TOO_FEW,
        )
    every = list(counts.values())
    if protocol.split is not None or parts is None:
        split = FRACTIONS if protocol.split is None else protocol.split
        parts = split_classes(classes, split, protocol.seed, do=proposal(every, (), *sizes))
    check_apart(parts)
    do = proposal(every, [len(names) for names in parts.values()], *sizes)
    for part, names in parts.items():
        turns = 4 if part == "train" and any(isinstance(one, Rotations) for one in protocol.augment) else 1
        where = f"of {part}" + (f" under split={protocol.split!r}" if isinstance(protocol.split, tuple) else "")
        check_enough([*names] * turns, torch.tensor([counts[name] for name in names] * turns), *sizes, where, do)
    return parts
