"""from_arrays: labelled arrays as few-shot tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import torch

from quickstudy.arguments import checked
from quickstudy.arrays import as_tensor
from quickstudy.calls import remembered
from quickstudy.errors import ShapeError
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.rows import gathered
from quickstudy.tasks.sources.kind import Items, check_options, kind_of_value, kind_told
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions, parted
from quickstudy.tasks.sources.source import family_of


@remembered
@checked
@hands_on(SourceOptions, Protocol, **READING)
def from_arrays(
    x: Any,
    y: Any,
    *,
    kind: str | None = None,
    columns: Mapping[str, Any] | None = None,
    **options: Unpack[SourceOptions],
) -> TaskFamily[LabelledTasks]:
    """N-way K-shot tasks from labelled data.

    Args:
        x: (N, *feature), NumPy, tensor or list. It is read as images if it is uint8 of three or four axes, or if `size`,
            `channels` or `invert` is given: (N, height, width), (N, channels, height, width) or (N, height, width, channels).
        y: (N,) labels of any kind: integers, strings. Each different label names a class. Classes may differ in size.
        kind: "images", "recordings", or another kind that a domain reads; None: images as described above, recordings if their
            `rate` or `seconds` is given, else plain numbers. Recordings are (samples,) each, of any length, or mappings
            {"array": (samples,), "sampling_rate": ...}.
        columns: what else is known of the examples, by name, such as {"alphabet": [...]}: a group for each example, or a mapping
            from class to group. `within` names one of them.

    Other Args:
        options: see `SourceOptions`.

    Raises:
        ShapeError: x, y or a column of different length; examples of different shapes.
        LabelError: text in x; a label that is missing; fewer than three classes.
        TaskError: a split naming an unknown class or one class twice; more ways, shots or queries than the data can give.
        ArgumentError: ways, shots or queries that are neither a number nor a range; invalid fractions; images outside [0, 1];
            a reading option that the kind does not take, or one given for plain numbers.
        NotFiniteError: NaN or infinity in x.

    Examples:
        >>> x, y = torch.randn(60, 4), [label for label in "abcdef" for _ in range(10)]
        >>> tasks = qs.tasks.from_arrays(x, y, ways=2, shots=1, queries=5, split=(2, 2, 2))
        >>> tasks.train.sample(4).query.x.shape
        torch.Size([4, 10, 4])
    """
    names = as_names(y)
    if _length(x) != len(names):
        raise ShapeError(
            "x, y",
            expected="as many labels as examples",
            got=f"{_length(x)} and {len(names)}",
            do="Give one label for every example.",
        )
    protocol, given = parted(options)
    ragged = isinstance(x, list | tuple) and given.get("size") is not None
    told = kind_told(kind, given) or (kind_of_value(x[0], None, given) if _mappings(x) else None)
    values: Any = list(x) if told is not None and told.objects else [np.asarray(one) for one in x] if ragged else as_tensor(x)
    reads = kind_of_value(values[0], kind, given) if len(names) else None
    if reads is None:
        check_x(values)
        return family_of(names, Items(lambda rows, part: gathered(values, torch.tensor(rows))), protocol, columns=columns)
    check_options(reads, given)
    return family_of(names, reads.of_values(values, **given), protocol, columns=columns)


def _mappings(x: Any) -> bool:
    return isinstance(x, list | tuple) and len(x) > 0 and isinstance(x[0], Mapping)


def _length(x: Any) -> int:
    return len(x) if getattr(x, "ndim", 1) and hasattr(x, "__len__") else 0
