"""Checks of labelled data before episodes are drawn: one integer label for each example, none skipped, finite x,
and enough examples for the protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from quickstudy.errors import LabelError, NotFiniteError, ShapeError, TaskError
from quickstudy.tasks.distribution.size import Size, largest


def check_y(x: Tensor, y: Tensor) -> None:
    """Raise ShapeError or LabelError unless y (N,) holds the labels 0..C-1 of x (N, *feature), each at least once."""
    if x.shape[:1] != y.shape or len(y) == 0:
        raise ShapeError(
            "x, y",
            expected="x (N, *feature) and y (N,), with N of 1 or more",
            got=f"x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}",
            do="Give one label for every example.",
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise LabelError("y", expected="integer labels", got=str(y.dtype), do="Number the classes from 0 and pass y.long().")
    present = torch.unique(y).tolist()
    if present != list(range(len(present))):
        gap = next((label for label, found in enumerate(present) if label != found), 0)
        raise LabelError(
            "y",
            expected=f"the labels 0..{len(present) - 1}, each at least once",
            got=f"labels from {present[0]} to {present[-1]} without {gap}",
            do="Number the classes without a gap: torch.unique(y, return_inverse=True)[1].",
        )


def check_x(x: Tensor, argument: str = "x") -> None:
    """Raise NotFiniteError if x (N, *feature) holds NaN or infinity."""
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        bad = (~torch.isfinite(x.flatten(1) if x.ndim > 1 else x[:, None])).any(1).nonzero().flatten()
        raise NotFiniteError(
            argument,
            expected="finite numbers",
            got=f"NaN or infinity in {len(bad)} of {len(x)} examples, the first at {argument}[{int(bad[0])}]",
            do="Remove or fill them.",
        )


def check_names(class_names: Sequence[str], classes: int) -> None:
    """Raise ShapeError or LabelError unless there is one name for every class and no name twice."""
    if len(class_names) != classes:
        raise ShapeError(
            "class_names", expected=f"{classes} names, one for each class", got=str(len(class_names)), do="Name every class once."
        )
    name, times = Counter(class_names).most_common(1)[0]
    if times > 1:
        raise LabelError(
            "class_names",
            expected="a name of its own for every class",
            got=f"{name!r} {times} times",
            do="Give these classes one label, or tell them apart by name.",
        )


def check_enough(
    names: Sequence[str],
    counts: Tensor,
    ways: Size,
    shots: Size,
    queries: Size,
    where: str = "there are",
    do: str | None = None,
) -> None:
    """Raise TaskError unless there are `ways` classes, each with shots + queries of its `counts` (C,) examples.

    Args:
        where: which classes these are, for the message.
        do: what it proposes.
    """
    if largest(ways) > len(names):
        raise TaskError(
            f"ways={ways}",
            expected=f"at most the {len(names)} classes {where}",
            got=str(largest(ways)),
            do=do or "Lower `ways`, or bring more classes.",
        )
    each = largest(shots) + largest(queries)
    short = (counts < each).nonzero().flatten().tolist()
    if short:
        fewest = min(short, key=counts.tolist().__getitem__)
        others = f" and too few of {len(short) - 1} more" if len(short) > 1 else ""
        raise TaskError(
            f"shots={shots}, queries={queries}",
            expected=f"at least {each} examples of every class",
            got=f"{int(counts[fewest])} of class {names[fewest]!r}{others}",
            do=do or "Lower `shots` or `queries`, or leave such classes out: with `only`, or a `split` by names.",
        )
