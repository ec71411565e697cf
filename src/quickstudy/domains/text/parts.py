"""Parts of texts in several languages: no language is in two of them, nor a sentence or its translation.

rows of a part  =  { row : its group is of the part, and its unit too }           both are split, each by itself
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quickstudy.domains.text.kind import content_of
from quickstudy.errors import TaskError
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks
from quickstudy.tasks.distribution.splits import Splits, check_apart, random_split

Rows = list[int]


def parts_of(groups: Sequence[str], split: Split | None, seed: int) -> Splits:
    """The groups of each part."""
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
