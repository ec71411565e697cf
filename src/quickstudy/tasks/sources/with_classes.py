"""Labelled tasks with the classes that augmentations make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quickstudy.tasks.construction.augmentation.expand import LAYER, class_augmentations, expanded, refuse_lazy
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, EpisodeAugmentation
from quickstudy.tasks.distribution.columns import read_columns
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.sources.labels import check_names


def with_classes(
    x: Tensor | LazyRows,
    y: Tensor,
    names: Sequence[str],
    augment: Sequence[ClassAugmentation | EpisodeAugmentation] = (),
    columns: Mapping[str, Any] | None = None,
    content: Content | None = None,
    **options: Any,
) -> LabelledTasks:
    """`LabelledTasks` of these data, and of the classes that `augment` makes of them.

    Args:
        names: of the classes of y.
        content: of each row, as `LabelledTasks` takes it; a row of a new class has that of the row that it was made of.
        options: as `LabelledTasks` takes them.

    Raises:
        UnsupportedError: new classes of items that are read as they are drawn.
        ArgumentError: two augmentations of one kind that make classes.
        LabelError: a class name twice.
    """
    check_names(names, len(names))
    made = class_augmentations(augment)
    known = read_columns(columns or {}, [names[label] for label in y.tolist()])
    if made:
        refuse_lazy(made, isinstance(x, LazyRows))
        x, y, names, rows, layer = expanded(made, torch.as_tensor(x), y, names)
        known = {name: column.rows(rows) for name, column in known.items()}
        content = None if content is None else content.rows(rows)
        known |= read_columns({LAYER: layer} if layer else {}, [names[label] for label in y.tolist()])
    changes = [one for one in augment if not isinstance(one, ClassAugmentation)]
    return LabelledTasks(x, y, class_names=names, augment=changes, columns=known, content=content, made=made, **options)
