"""y as people have it: a tensor, an array, a column of a table or a list, of numbers or of the names of classes.

integers, bools   labels, int64; numbers, as floats, for a kind that is not one of classes
floats            values, in torch's default dtype
text              labels 0..ways-1 in the sorted order of the names, which the kind keeps: Labels(ways, names=...)
a tensor          as it is; for labels any integers or bools as int64
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.arrays import as_tensor
from quickstudy.errors import LabelError
from quickstudy.targets.labels import Classes, Labels
from quickstudy.targets.target import Target


def encoded(y: Any, told: Target | None) -> tuple[Tensor, Target | None]:
    """The tensor of y, and its kind if that is known: as it was told, or `Labels` with the names that y has.

    Raises:
        LabelError: text that is not one name for each example, or that `told` does not know; a mixture of text and numbers.
        ShapeError: rows of different lengths.

    Examples:
        >>> from quickstudy.targets.encoded import encoded
        >>> encoded(["dog", "cat", "dog"], None)
        (tensor([1, 0, 1]), Labels(count=2, names=('cat', 'dog')))
    """
    if isinstance(y, list | tuple) and y and all(isinstance(one, Tensor) for one in y):
        y = torch.stack(list(y))
    if isinstance(y, Tensor):
        whole = not (y.is_floating_point() or y.is_complex() or y.dtype == torch.int64)
        return (y.long() if whole and isinstance(told, Labels | None) else y), told
    array = np.asarray(y) if hasattr(y, "__array__") else np.array(y, dtype=object) if _even(y) else None
    if array is None:
        return as_tensor(y, "y"), told  # which says that the rows differ
    if array.dtype.kind in "UT" or any(isinstance(one, str) for one in _objects(array)):
        return _named(array, told)
    if (array.dtype.kind in "biu" or _whole(_objects(array))) and isinstance(told, Classes | None):
        return torch.from_numpy(array.astype(np.int64)), told
    found = as_tensor(array, "y")
    return (found if found.is_floating_point() else found.to(torch.get_default_dtype())), told


def _even(y: Any) -> bool:
    """Whether rows, if y has any, are of one length."""
    if not isinstance(y, list | tuple):
        return True
    return len({len(one) if isinstance(one, list | tuple) else np.shape(one) for one in y}) < 2


def _whole(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(one, Integral | np.bool_) for one in values)


def _objects(array: np.ndarray) -> list[Any]:
    """The elements of an array of objects, among which there may be text; none of any other array."""
    return array.ravel().tolist() if array.dtype.kind == "O" else []


def _named(array: np.ndarray, told: Target | None) -> tuple[Tensor, Labels]:
    """Labels from the names of classes, in the order of `told` or sorted."""
    if not isinstance(told, Labels | None):
        raise LabelError("y", expected=f"numbers, for {told}", got=f"{array.flat[0]!r}"[:60], do="Give y as numbers.")
    if array.ndim != 1:
        raise LabelError(
            "y",
            expected="one name for each example, (examples,)",
            got=f"names of shape {array.shape}",
            do="Take the column, y[:, 0]." if array.shape[1:] == (1,) else "Give the tasks one by one.",
        )
    given = array.tolist()
    for row, one in enumerate(given):
        if not isinstance(one, str):
            got = f"{one!r} at y[{row}], among text"
            raise LabelError("y", expected="the name of a class for each example", got=got, do="Name every class by text.")
    kind = told if told is not None and told.names is not None else _kind(sorted(set(given)), told)
    names = kind.names or ()
    place = {name: label for label, name in enumerate(names)}
    unknown = next((one for one in given if one not in place), None)
    if unknown is not None:
        raise LabelError(
            "y",
            expected=f"names of the target's classes: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}",
            got=repr(unknown),
            do="Check the spelling, or learn the class from examples first.",
        )
    return torch.tensor([place[one] for one in given], dtype=torch.int64), kind


def _kind(names: list[str], told: Labels | None) -> Labels:
    if told is not None and told.count != len(names):
        raise LabelError(
            "y",
            expected=f"the names of {told.count} classes, as `ways` says",
            got=f"{len(names)}: {', '.join(names[:5])}",
            do="Say what all of them are called: target=support.target, or targets.Labels(count, names=...).",
        )
    return Labels(len(names), tuple(names))
