"""Common to all sources: from labelled items of any kind to named classes, a split by class, and a task family.

A source gives the items and the class name of each; all checks that need no item run before one is read.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.errors import DataError, DataWarning, LabelError, UnsupportedError
from quickstudy.tasks.construction.augmentation.expand import DATA, class_augmentations, counts_by_layer, every_count
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.class_names import in_order
from quickstudy.tasks.distribution.columns import Column, check_known, read_columns
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.distribution.splits import Splits, check_apart
from quickstudy.tasks.distribution.within import Within
from quickstudy.tasks.sources.broken import BrokenItems, named, together
from quickstudy.tasks.sources.kind import Items
from quickstudy.tasks.sources.labels import check_enough
from quickstudy.tasks.sources.options import QUERIES, Protocol
from quickstudy.tasks.sources.proposal import TOO_FEW, proposal, queries_for
from quickstudy.tasks.sources.repeats import Repeats, without_repeats
from quickstudy.tasks.sources.with_classes import with_classes

LESS = "Lower `ways`, `shots` or `queries`, leave this augmentation out, or bring more data."
Rows = Mapping[str, Sequence[int]]  # of each class
FITTED = 1000  # items that `normalise` reads where they are read as they are drawn


def family_of(
    names: Sequence[str],
    items: Items,
    protocol: Protocol,
    *,
    parts: Splits | None = None,
    columns: Mapping[str, Any] | None = None,
) -> TaskFamily[LabelledTasks]:
    """The task family of labelled items.

    Args:
        names: the class of each item.
        items: reads them; called once for each part.
        parts: the split by files or folders, used if `protocol.split` is None.
        columns: what else is known of the items, as `LabelledTasks` takes them.

    Raises:
        LabelError: fewer than three classes; a missing group.
        ArgumentError: `protocol.within` is none of the columns.
        TaskError: a class in two parts or in several groups; a text in two classes; more ways, shots or queries than a part
            can give.
    """
    protocol.check()
    names, items, columns = _once(names, items, columns or {}, protocol.repeats)
    classes = in_order(names)
    counts = Counter(names)
    augment = class_augmentations(protocol.augment)
    if protocol.queries is None:
        protocol = replace(protocol, queries=queries_for(every_count(augment, counts), protocol.shots, QUERIES))
    known = read_columns(columns, names)
    parts = _parts(_groups(names, classes, known, protocol.within), counts, protocol, parts)
    every: dict[str, list[int]] = {name: [] for name in classes}
    for row, name in enumerate(names):
        every[name].append(row)
    read, rows = _read(items, parts, {name: every[name] for own in parts.values() for name in own}, protocol)
    tasks, preprocessing = {}, items.preprocessing
    for part, part_classes in parts.items():
        training = part == "train"
        chosen = [row for name in part_classes for row in rows[name]]
        x = read.pop(part)
        part_columns = {name: column.rows(torch.tensor(chosen)) for name, column in known.items()}
        y = torch.arange(len(part_classes)).repeat_interleave(torch.tensor([len(rows[name]) for name in part_classes]))
        if training and preprocessing is not None and items.normalise:
            preprocessing = preprocessing.fitted(x.some(FITTED) if isinstance(x, LazyRows) else x)
        tasks[part] = with_classes(
            x,
            y,
            list(part_classes),
            protocol.augment if training else (),
            part_columns,
            ways=protocol.ways,
            shots=protocol.shots,
            queries=protocol.queries or QUERIES,
            preprocessing=preprocessing,
            transform=protocol.transform if training else (),
            within=protocol.within,
            content=None if items.content is None else items.content(chosen),
        )
    return TaskFamily(*map(tasks.get, SPLITS))


def _once(
    names: Sequence[str], items: Items, columns: Mapping[str, Any], repeats: Repeats
) -> tuple[Sequence[str], Items, Mapping[str, Any]]:
    """What is there twice once, for items that tell what they are. A column is a value for each item, or a mapping of classes.

    Raises:
        TaskError: an item in two classes, with repeats="refuse".
    """
    if items.content is None:
        return names, items, columns
    content = items.content(list(range(len(names))))
    keys = [value or ("nothing to tell it by", row) for row, value in enumerate(content.keys.tolist())]
    kept = without_repeats(keys, names, items.shown, repeats, content.kind)
    if len(kept) == len(names):
        return names, items, columns
    own = {
        name: value if isinstance(value, Mapping) or len(value) != len(names) else [value[row] for row in kept]
        for name, value in columns.items()
    }
    return [names[row] for row in kept], items.only(kept), own


def _read(items: Items, parts: Splits, rows: Rows, protocol: Protocol) -> tuple[dict[str, Tensor | LazyRows], Rows]:
    """The items of each part, and the rows of each class without those that are left out.

    Raises:
        DataError: items that cannot be read, of all parts together, unless they are left out.
        TaskError: without them a part cannot give its episodes.
    """
    read: dict[str, Tensor | LazyRows] = {}
    broken: dict[int, DataError] = {}
    for part, names in parts.items():
        asked = [row for name in names for row in rows[name]]
        try:
            read[part] = items.take(asked, part)
        except BrokenItems as error:
            broken |= {asked[place]: one for place, one in error.errors.items()}
            read[part] = error.x
        if isinstance(read[part], LazyRows) and protocol.broken != "refuse":
            raise _not_lazily(f"broken={protocol.broken!r}")
    if not broken:
        return read, rows
    errors = list(broken.values())
    if protocol.broken == "refuse":
        one = together(errors, f"{len(errors)} of {sum(map(len, rows.values()))} items")
        raise DataError(one.argument, expected=one.expected, got=one.got, do=f'{one.do} broken="leave out" goes on without.')
    rows = {name: [row for row in own if row not in broken] for name, own in rows.items()}
    check_parts(parts, {name: len(own) for name, own in rows.items()}, protocol)
    warnings.warn(f"{len(errors)} items cannot be read and are left out: {named(errors)}", DataWarning, stacklevel=2)
    return read, rows


def _not_lazily(argument: str) -> UnsupportedError:
    return UnsupportedError(
        argument,
        expected="items that are all read when the source is opened",
        got="`memory`, under which they are read as they are drawn",
        do="Leave one of the two out.",
    )


def _groups(names: Sequence[str], classes: Sequence[str], columns: Mapping[str, Column], within: str | None) -> dict[str, str]:
    """The group of each class; without `within` each class is one of its own."""
    if within is None:
        return {name: name for name in classes}
    check_known(within, columns)
    number = {name: place for place, name in enumerate(classes)}
    index = ClassIndex(torch.tensor([number[name] for name in names]))
    found = Within.read(within, columns[within], index, classes)
    return {name: found.groups[group] for name, group in zip(classes, found.of.tolist(), strict=True)}


def _split(groups: Mapping[str, str], split: Split, protocol: Protocol, do: str | None) -> Splits:
    """The classes of each part: a split by names or lists names classes, one by sizes divides groups."""
    if protocol.within is None or isinstance(split, str | Path | Mapping):
        return split_classes(list(groups), split, protocol.seed, do)
    parts = split_classes(in_order(list(groups.values())), split, protocol.seed, do)
    return {part: [name for group in chosen for name, own in groups.items() if own == group] for part, chosen in parts.items()}


def _parts(groups: Mapping[str, str], counts: Mapping[str, int], protocol: Protocol, parts: Splits | None) -> Splits:
    """The classes of each part, of which there are enough, each with enough examples. `groups`: that of each class.

    Raises:
        LabelError, TaskError, ArgumentError: see `family_of`.
    """
    assert protocol.queries is not None
    sizes, classes, every = (protocol.ways, protocol.shots, protocol.queries), list(groups), list(counts.values())

    def do(found: Sequence[int]) -> str | None:
        return proposal(every, found, *sizes) if protocol.within is None else None  # there a split divides groups

    if protocol.part is not None and classes:
        parts = {protocol.part: classes}
    elif len(classes) < 3:
        raise LabelError(
            "y",
            expected="three classes or more: some to train, to validate and to test",
            got=f"{len(classes)}: {', '.join(classes)}" if classes else "none",
            do=TOO_FEW,
        )
    elif protocol.split is not None or parts is None:
        parts = _split(groups, FRACTIONS if protocol.split is None else protocol.split, protocol, do(()))
    check_apart(parts)
    check_parts(parts, counts, protocol, do([len(names) for names in parts.values()]))
    return parts


def check_parts(parts: Splits, counts: Mapping[str, int], protocol: Protocol, do: str | None = None) -> None:
    """Raise TaskError where a part cannot give its episodes."""
    augment = class_augmentations(protocol.augment)
    for part, names in parts.items():
        where = f"of {part}" + (f" under split={protocol.split!r}" if isinstance(protocol.split, tuple) else "")
        where = "there are" if protocol.part is not None else where
        layers = counts_by_layer(augment if part == "train" else [], {name: counts[name] for name in names})
        for layer, have in layers.items():
            there = where if layer == DATA else f"that {layer}() makes {where}"
            sizes = protocol.ways, protocol.shots, protocol.queries or 1
            check_enough(list(have), torch.tensor(list(have.values())), *sizes, there, do if layer == DATA else LESS)
