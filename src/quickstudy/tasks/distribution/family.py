"""A task family: three task distributions that share no class, for training, model selection and the reported score."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Literal, Self, TypeVar

import torch

from quickstudy.arguments import checked
from quickstudy.calls import Call, call, plain
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks.distribution.interface import Preprocessing, TaskDistribution
from quickstudy.tasks.distribution.parts import check_alike, check_contents
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import check_apart

SPLITS = ("train", "validation", "test")
Tasks = TypeVar("Tasks", bound=TaskDistribution)


@checked
class TaskFamily(Generic[Tasks]):
    """Meta-training, meta-validation and meta-test: `train`, `validation` and `test`.

    Args:
        train, validation, test: the three distributions; None: the family has no such part, and refuses what asks for it.
        same_classes: whether a class may be in several of them, as for the same classes in other domains. Otherwise a class seen
            in meta-training makes the score of another part a leak.
        same_content: whether an example may be in several of them, under whatever class name. Otherwise examples in memory are
            compared when the family is made: images by a perceptual hash, other numbers by their values. Those that are read as
            they are drawn are not read for it: `check_contents` does.

    Raises:
        TaskError: a class (by its name) in two of them, without same_classes; an example (by its content) in two of them, without
            same_content; parts of different shape, or differently normalised.

    Examples:
        >>> y = torch.arange(20) // 10
        >>> data = [(torch.randn(20, 4), y, names) for names in ("ab", "cd", "ef")]
        >>> parts = [qs.tasks.LabelledTasks(x, y, ways=2, queries=5, class_names=names) for x, y, names in data]
        >>> tasks = qs.tasks.TaskFamily(*parts)
        >>> tasks.classes
        {'train': ['a', 'b'], 'validation': ['c', 'd'], 'test': ['e', 'f']}
        >>> tasks.with_(shots=3).test.protocol
        {'ways': 2, 'shots': 3, 'queries': 5}
    """

    train: Tasks
    validation: Tasks
    test: Tasks
    call: Call | None  # by which it was made, where that is known

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        family = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
        except TypeError:  # `__init__` itself says it better; a copy or a pickle brings its own
            bound = None
        family.call = None if bound is None else call(cls.__name__, cls.__init__, bound)
        return family

    same_classes = same_content = False

    def __init__(
        self,
        train: Tasks | None,
        validation: Tasks | None,
        test: Tasks | None,
        *,
        same_classes: bool = False,
        same_content: bool = False,
    ):
        given = {"train": train, "validation": validation, "test": test}
        self.__dict__.update({name: part for name, part in given.items() if part is not None})
        if same_classes:
            self.same_classes = True
        else:
            check_apart(self.classes)
        check_alike(self.parts)
        if same_content:
            self.same_content = True
        else:
            self.check_contents(read=False)

    def __getattr__(self, name: str) -> Any:
        if name in SPLITS:
            raise _without(name, self.parts)
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    @property
    def parts(self) -> dict[str, Tasks]:
        """Those of the three that there are, by name."""
        return {name: vars(self)[name] for name in SPLITS if name in vars(self)}

    @property
    def classes(self) -> dict[str, list[str]]:
        """The class names of each split; empty where tasks have no classes. `split=` of every source accepts it."""
        return {name: list(getattr(self.parts.get(name), "class_names", [])) for name in SPLITS}

    def check_contents(self, *, read: bool = True) -> None:
        """Compare the examples of all parts by their content.

        Args:
            read: also those that are read as they are drawn: all are read, once.

        Raises:
            TaskError: an example in two parts.
        """
        check_contents({name: part.contents(read=read) for name, part in self.parts.items()})

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How an image file becomes a learner's input; None for tasks that are not made from image files."""
        return getattr(next(reversed(self.parts.values()), None), "preprocessing", None)

    def with_(
        self,
        *,
        ways: Size | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        within: str | Literal[False] | None = None,
    ) -> TaskFamily[Tasks]:
        """All of them under another protocol.

        Raises:
            ArgumentError: `within` for tasks without labelled data.
            ArgumentError, TaskError: see `LabelledTasks.with_`.
        """
        sizes = {"ways": ways, "shots": shots, "queries": queries}
        grouped: dict[str, Any] = {} if within is None else {"within": within}
        if within is not None:
            check_columns(within, list(self.parts.values()))
        other = self._of(lambda part: part.with_(ways=ways, shots=shots, queries=queries, **grouped))
        if other.call is not None:
            arguments = {name: plain(size) for name, size in sizes.items() if size is not None}
            if within is not None:
                arguments["within"] = within or None
            other.call = replace(other.call, arguments={**other.call.arguments, **arguments})
        return other

    def to(self, device: str | torch.device) -> TaskFamily[Tasks]:
        """All of them with their episodes on `device`."""
        return self._of(lambda part: part.to(device))

    def _of(self, change: Callable[[Tasks], Tasks]) -> TaskFamily[Tasks]:
        """A family of the changed parts, which remembers how this one was made."""
        parts = (None if part is None else change(part) for part in map(self.parts.get, SPLITS))
        other: TaskFamily[Tasks] = TaskFamily(*parts, same_classes=self.same_classes, same_content=True)  # they were compared
        other.call, other.same_content = self.call, self.same_content
        return other

    def _repr_html_(self) -> str | None:
        shown = [getattr(part, "_repr_html_", str)() for part in self.parts.values()]
        return "".join(shown) if all(shown) else None

    def __repr__(self) -> str:
        parts = ",\n  ".join(f"{name}={part}" for name, part in self.parts.items())
        return f"{type(self).__name__}(\n  {parts})"


def _without(name: str, parts: Mapping[str, Any]) -> UnsupportedError:
    """The error of a part that a family lacks."""
    what = {"train": "meta-training classes, to train on", "validation": "meta-validation classes, to choose by"}
    there = ", ".join(f"{part!r} alone ({len(getattr(one, 'class_names', []))} classes)" for part, one in parts.items())
    return UnsupportedError(
        f"tasks.{name}",
        expected=f"a family with {what.get(name, 'meta-test classes, to score on')}",
        got=f"one with {there or 'no part'}, as part= asked for",
        do="Leave `part` out, so that the classes are split; or score a run that is trained already on tasks.test.",
    )


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


def check_numbers(tasks: Any, learner: str) -> None:
    """Raise UnsupportedError for labelled tasks that number the classes of each episode anew, which no support then explains."""
    if getattr(tasks, "renumber", False):
        raise UnsupportedError(
            "tasks",
            expected=f"classes that keep their numbers, since {learner} answers without a support",
            got=f"{type(tasks).__name__}, whose episodes number them anew",
            do="Give tasks.by_domain(tasks, by=...), or tasks.across(tasks, by=..., renumber=False).",
        )
