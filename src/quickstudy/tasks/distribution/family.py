"""A task family: three task distributions that share no class, for training, model selection and the reported score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import torch

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks.distribution.interface import Preprocessing, TaskDistribution
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import check_apart

SPLITS = ("train", "validation", "test")
Tasks = TypeVar("Tasks", bound=TaskDistribution)


@checked
class TaskFamily(Generic[Tasks]):
    """Meta-training, meta-validation and meta-test: `train`, `validation` and `test`.

    Raises:
        TaskError: a class (by its name) in two of them.

    Examples:
        >>> x, y = torch.randn(20, 4), torch.arange(20) // 10
        >>> parts = [qs.tasks.LabelledTasks(x, y, ways=2, queries=5, class_names=names) for names in ("ab", "cd", "ef")]
        >>> tasks = qs.tasks.TaskFamily(*parts)
        >>> tasks.classes
        {'train': ['a', 'b'], 'validation': ['c', 'd'], 'test': ['e', 'f']}
        >>> tasks.with_(shots=3).test.protocol
        {'ways': 2, 'shots': 3, 'queries': 5}
    """

    def __init__(self, train: Tasks, validation: Tasks, test: Tasks):
        self.train, self.validation, self.test = train, validation, test
        check_apart(self.classes)

    @property
    def classes(self) -> dict[str, list[str]]:
        """The class names of each split; empty where tasks have no classes. `split=` of every source accepts it."""
        return {split: list(getattr(part, "class_names", [])) for split, part in zip(SPLITS, self._parts(), strict=True)}

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How an image file becomes a learner's input; None for tasks that are not made from image files."""
        return getattr(self.test, "preprocessing", None)

    def with_(
        self,
        *,
        ways: Size | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        within: str | Literal[False] | None = None,
    ) -> TaskFamily[Tasks]:
        """All three under another protocol.

        Raises:
            ArgumentError: `within` for tasks without labelled data.
            ArgumentError, TaskError: see `LabelledTasks.with_`.
        """
        given: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries}
        if within is not None:
            check_columns(within, self._parts())
            given["within"] = within
        return TaskFamily(*(part.with_(**given) for part in self._parts()))

    def to(self, device: str | torch.device) -> TaskFamily[Tasks]:
        """All three with their episodes on `device`."""
        return TaskFamily(*(part.to(device) for part in self._parts()))

    def _parts(self) -> tuple[Tasks, Tasks, Tasks]:
        return self.train, self.validation, self.test

    def _repr_html_(self) -> str | None:
        shown = [getattr(part, "_repr_html_", str)() for part in self._parts()]
        return "".join(shown) if all(shown) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n  train={self.train},\n  validation={self.validation},\n  test={self.test})"


def check_columns(within: str | bool, parts: Sequence[TaskDistribution]) -> None:
    """Raise ArgumentError for tasks that have no columns."""
    if without := next((part for part in parts if not hasattr(part, "columns")), None):
        raise ArgumentError(
            "within",
            expected=f"nothing: {type(without).__name__} have no classes in groups",
            got=repr(within),
            do="Leave it out, or take tasks of labelled data.",
        )


def check_one(tasks: Any) -> None:
    """Raise UnsupportedError for a family where one distribution is asked for: which of its three would be scored?"""
    if isinstance(tasks, TaskFamily):
        raise UnsupportedError(
            "tasks",
            expected="one distribution of tasks",
            got=f"the family {type(tasks).__name__} of three",
            do="Give one of its parts: tasks.test, or tasks.validation.",
        )
