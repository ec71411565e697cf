"""Parts of texts in several languages: no language is in two of them, nor a sentence or its translation.

rows of a part  =  { row : its group is of the part, and its unit too }           both are split, each by itself
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quickstudy.domains.text.kind import content_of
from quickstudy.domains.text.repeats import Repeats
from quickstudy.errors import DataWarning, ShapeError, TaskError
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.class_names import in_order
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.splits import Splits, check_apart, random_split
from quickstudy.tasks.sources.options import Part

Rows = list[int]


def check_one_each(count: int, of: str, **given: Sequence[Any] | None) -> None:
    """Raise ShapeError for an argument that does not have one for each of `count` texts; None is not asked."""
    for name, own in given.items():
        if own is not None and len(own) != count:
            expected, do = f"one for each of {count} {of}", f"Give them in the order of the {of}."
            raise ShapeError(name, expected=expected, got=str(len(own)), do=do)


def groups_of(owner: Sequence[str], kept: Rows) -> dict[str, Rows]:
    """The rows of each group, of those that are kept."""
    return {name: [row for row in kept if owner[row] == name] for name in in_order(owner)}


def parts_of(groups: Sequence[str], split: Split | None, seed: int, part: Part = None) -> Splits:
    """The groups of each part; all of them in `part`, where one is named."""
    if part is not None:
        return {part: list(groups)}
    if len(groups) < 3:
        do = "Some train, some validate, some test: bring more, or give part='test'."
        raise TaskError("group", expected="three groups or more", got=str(len(groups)), do=do)
    parts = split_classes(groups, FRACTIONS if split is None else split, seed)
    check_apart(parts)
    return parts


def by_units(rows: Mapping[str, Rows], units: Sequence[int], kept: Rows, seed: int) -> dict[str, Rows]:
    """The rows of each part whose unit is in that part too."""
    own = random_split(sorted({units[row] for row in kept}), FRACTIONS, seed=seed, argument="translations")
    allowed = {name: set(some) for name, some in zip(SPLITS, own, strict=True)}
    return {name: [row for row in some if units[row] in allowed[name]] for name, some in rows.items()}


def apart(rows: Mapping[str, Rows], texts: Sequence[str], repeats: Repeats, where: str) -> dict[str, Rows]:
    """The rows of each part without the texts that a later part has.

    Raises:
        TaskError: a text in two parts, with repeats="refuse"; `where` names the argument.
    """
    found, seen, out = dict(rows), set[int](), Rows()
    keys = content_of(texts).keys.tolist()
    for name in reversed(found):
        out += [row for row in found[name] if keys[row] in seen]
        found[name] = [row for row in found[name] if keys[row] not in seen]
        seen |= {keys[row] for row in found[name]}
    if out and repeats == "refuse":
        raise TaskError(
            where,
            expected="parts that share no text",
            got=f"{len(out)} texts in two, such as {texts[out[0]]!r:.60}",
            do="Leave them out of the earlier part with repeats='leave out', or part sentences by `translations` (from_tokens).",
        )
    if out:
        warnings.warn(f"`{where}`: {len(out)} texts were left out: a later part has them.", DataWarning, stacklevel=4)
    return found


def check_left(groups: Sequence[str], owner: Sequence[str], part: str) -> None:
    """Raise TaskError for a group of which no sentence is left."""
    counts = Counter(owner)
    if gone := next((group for group in groups if not counts[group]), None):
        do = "Bring more sentences of it, or leave it out."
        raise TaskError("group", expected=f"sentences of every group of {part}", got=f"none of {gone!r}", do=do)


def family_of_groups(
    x: Tensor, y: Tensor, rows: Mapping[str, Rows], parts: Splits, owner: Sequence[str], texts: Sequence[str], **options: Any
) -> TaskFamily[GroupTasks]:
    """The task families of the parts.

    Args:
        x, y: of the rows of all parts, one part behind the other.
        rows, parts: the rows and the groups of each part.
        owner, texts: the group and the text of each row, by which rows are the same.
        options: of `GroupTasks`.

    Raises:
        TaskError: a group of which no sentence is left.
    """
    made: dict[str, GroupTasks] = {}
    begun = 0
    for part, some in rows.items():
        groups = [owner[row] for row in some]
        check_left(parts[part], groups, part)
        number = {group: place for place, group in enumerate(parts[part])}
        own = slice(begun, begun + len(some))
        of = torch.tensor([number[group] for group in groups])
        content = content_of(texts[row] for row in some)
        made[part] = GroupTasks(x[own], y[own], of, parts[part], content=content, **options)
        begun += len(some)
    return TaskFamily(*map(made.get, SPLITS))
