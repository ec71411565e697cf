"""Other classes of the same data: the groups of a column become the classes, and the classes a column.

Who says it, in place of what is said: of recordings whose classes are words, with a column of speakers, it makes tasks of
speakers with a column of words; `across` by that column then holds out the words that the support has.
"""

from __future__ import annotations

from typing import Any, overload

from quickstudy.arguments import checked
from quickstudy.errors import UnsupportedError
from quickstudy.tasks.construction.across import column_of
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size

CLASS = "class"  # the column of what were the classes


@overload
def classes_by(
    tasks: TaskFamily[Any], by: str, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None
) -> TaskFamily[LabelledTasks]: ...
@overload
def classes_by(
    tasks: TaskDistribution, by: str, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None
) -> LabelledTasks: ...


@checked
def classes_by(
    tasks: TaskDistribution | TaskFamily[Any],
    by: str,
    *,
    ways: Size | None = None,
    shots: Size | None = None,
    queries: Size | None = None,
) -> LabelledTasks | TaskFamily[LabelledTasks]:
    """The same examples with the groups of a column as classes; what they were classes of is the column "class".

    Args:
        tasks: labelled tasks with a column, or a family of them, in which no group is in two parts.
        by: the column.
        ways, shots, queries: of an episode; None: as before.

    Raises:
        ArgumentError: no such column.
        UnsupportedError: tasks without labelled data, or with classes that an augmentation made of others.
        TaskError: more ways than groups, fewer examples of a group than shots + queries; a group in two parts of a family.

    Examples:
        >>> x, word, speaker = torch.randn(60, 4), torch.arange(60) % 5, [f"speaker {row // 20}" for row in range(60)]
        >>> words = qs.tasks.LabelledTasks(x, word, queries=2, columns={"speaker": speaker})
        >>> voices = qs.tasks.classes_by(words, "speaker", ways=3)
        >>> voices.class_names, list(voices.columns)
        (['speaker 0', 'speaker 1', 'speaker 2'], ['class'])
        >>> qs.tasks.across(voices, "class", support=2).sample(4).query.x.shape
        torch.Size([4, 6, 4])
    """
    sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries}
    if isinstance(tasks, TaskFamily):
        parts = (classes_by(tasks.parts[name], by, **sizes) if name in tasks.parts else None for name in SPLITS)
        family: TaskFamily[LabelledTasks] = TaskFamily(*parts, same_content=True)  # as before
        family.same_content = tasks.same_content
        return family
    column = column_of(tasks, by, asked="classes_by")
    assert isinstance(tasks, LabelledTasks)
    if tasks.made:
        raise UnsupportedError(
            "classes_by",
            expected="the classes of the data",
            got=f"those that {', '.join(map(repr, tasks.made))} made of them too",
            do="Leave that augmentation out.",
        )
    others = {name: one for name, one in tasks.columns.items() if name != by}
    given: dict[str, Any] = {name: getattr(tasks, name) if size is None else size for name, size in sizes.items()}
    return LabelledTasks(
        tasks.x,
        column.of,
        class_names=column.groups,
        columns=others | {CLASS: [tasks.class_names[label] for label in tasks.y.tolist()]},
        preprocessing=tasks.preprocessing,
        transform=tasks.transform,
        augment=tasks.augment,
        content=tasks.content,
        **given,
    )
