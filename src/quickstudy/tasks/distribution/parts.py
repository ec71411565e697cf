"""What the parts of a family must have in common, and what they must not: one form of x, and no example.

`check_apart` (of `splits`) compares their classes by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import torch
from torch.utils import _pytree as pytree

from quickstudy.errors import TaskError
from quickstudy.tasks.distribution.content import Held, shared

MORE = 2.0  # examples that parts share are a leak where they are this many times as frequent as between classes of one part


def check_contents(parts: Mapping[str, Sequence[Held]]) -> None:
    """Raise TaskError if two parts share examples, by their content.

    In some data, as in tables of a few categories, equal rows of different classes are usual; then they are no leak. So the
    share of such examples across parts is compared with the share of them across the classes of one part.
    """
    for (part, ours), (other, theirs) in combinations(parts.items(), 2):
        for one, two in product(ours, theirs):
            if one.content.kind == two.content.kind:
                _check(f"{part}, {other}", one, two)


def _check(argument: str, one: Held, two: Held) -> None:
    rows, others = shared(one.content, two.content)
    if not len(rows):
        return
    found = others.unique()
    if len(found) / len(two.labels) <= MORE * max(_usual(one), _usual(two)):
        return
    here, there = one.name(int(rows[0])), two.name(int(others[0]))
    classes = f"of class {here!r} in both" if here == there else f"of class {here!r} in the one and of {there!r} in the other"
    raise TaskError(
        argument,
        expected="parts that share no example",
        got=f"{len(found)} of {len(two.labels)} examples of the second in the first too, by their content, such as one {classes}",
        do="Give every example to one part: what is seen in meta-training makes the test score a leak. Where it is wanted, say "
        "same_content=True.",
    )


def _usual(held: Held) -> float:
    """The share of examples that another class of the same part has too."""
    rows, others = shared(held.content, held.content)
    between = held.labels[rows] != held.labels[others]
    return len(rows[between].unique()) / len(held.labels)


def check_alike(parts: Mapping[str, Any]) -> None:
    """Raise TaskError unless labelled examples of all parts have one shape, and the same pixels look the same in all of them.

    Preprocessings that differ in what does nothing to stored pixels, such as how files are read, are alike.
    """
    labelled = {name: part for name, part in parts.items() if hasattr(part, "shown")}
    for (name, part), (other, two) in combinations(labelled.items(), 2):
        shapes = tuple(part.x.shape[1:]), tuple(two.x.shape[1:])
        if shapes[0] != shapes[1]:
            raise _differ(name, other, f"shape {shapes[0]}", f"shape {shapes[1]}", "Open both with the same size and channels")
        probe = torch.linspace(0, 1, max(1, part.x.shape[1:].numel())).reshape(1, *part.x.shape[1:])
        seen = pytree.tree_leaves(part.shown(probe)), pytree.tree_leaves(two.shown(probe))
        if len(seen[0]) != len(seen[1]) or not all(map(torch.equal, *seen)):
            ours, theirs = _said(part.preprocessing, two.preprocessing), _said(two.preprocessing, part.preprocessing)
            do = f"Normalise both by the statistics of one: {other} = {other}.normalised_as({name})"
            raise _differ(name, other, ours, theirs, do)


def _differ(name: str, other: str, one: str, two: str, do: str) -> TaskError:
    return TaskError(
        f"{name}, {other}",
        expected="parts with one preprocessing, since a learner meets the tasks of all",
        got=f"{one} in {name} and {two} in {other}",
        do=f"{do}; tasks of another form can be scored by themselves: evaluate(learner, tasks).",
    )


def _said(one: Any, other: Any) -> str:
    """Those entries of a preprocessing in which it differs from another."""
    if one is None:
        return "no normalisation"
    against = {} if other is None else other.to_dict()
    different = {key: value for key, value in one.to_dict().items() if against.get(key) != value and value is not None}
    return ", ".join(f"{key}={_short(value)}" for key, value in different.items()) or "another"


def _short(value: Any) -> Any:
    return [round(one, 3) for one in value] if isinstance(value, list) else value
