"""The kinds of task augmentation: what each makes, where it acts, and what it asks of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from quickstudy.episode import Episode
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Labels, Target

Makes = Literal["new classes", "new examples", "new tasks"]
NOT_SAID = "not said"  # of a function of the user's own


class Augmentation(ABC):
    """The base of what `augment=` takes.

    Attributes:
        makes: "new classes": examples and classes that the data do not have; "new examples": of the classes that the data have,
            which stay what they are; "new tasks": episodes whose classes are mixtures of classes, or whose numbering or features
            differ from task to task.
        needs_classes: whether it is for tasks with classes only.
    """

    makes: ClassVar[Makes]
    needs_classes: ClassVar[bool] = False


class Made(NamedTuple):
    """New classes: x, y of 0..classes-1, a name for each, and the row of the data that each example was made from."""

    x: Tensor
    y: Tensor
    names: list[str]
    rows: Tensor


class ClassAugmentation(Augmentation):
    """Adds classes to the data, once.

    Attributes:
        shares_examples: whether the new classes hold the examples of old ones. Then no episode has classes of both.

    Examples:
        >>> from quickstudy.tasks.construction.augmentation.kinds import Made
        >>> class Negatives(qs.tasks.construction.augmentation.ClassAugmentation):
        ...     def made(self, x, y, names):
        ...         return Made(-x, y, list(self.counts(dict.fromkeys(names, 0))), torch.arange(len(y)))
        ...     def counts(self, counts):
        ...         return {f"{name}/negative": count for name, count in counts.items()}
        >>> x, y = torch.randn(60, 2), torch.arange(60) // 10
        >>> qs.tasks.from_arrays(x, y, ways=2, split=(2, 2, 2), queries=5, augment=[Negatives()]).train.class_names
        ['2', '5', '2/negative', '5/negative']
    """

    makes = "new classes"
    needs_classes = True
    shares_examples: ClassVar[bool] = False

    @abstractmethod
    def made(self, x: Tensor, y: Tensor, names: Sequence[str]) -> Made:
        """The new classes of data x (N, *feature) with labels y (N,) and a name for each class.

        Raises:
            ShapeError, TaskError: data from which it makes none.
        """

    @abstractmethod
    def counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        """The new classes of data with these numbers of examples by class, likewise; no example is read for it.

        Raises:
            TaskError: as for `made`.
        """

    def classes(self, x: Tensor, y: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor, list[str]]:
        """The data with the new classes behind the old ones: x, labels, names."""
        made = self.made(x, y, names)
        return torch.cat([x, made.x]), torch.cat([y, made.y.to(y.device) + len(names)]), [*names, *made.names]


class TaskAugmentation(Augmentation):
    """Changes episodes as they are drawn: augment(episode, generator) -> episode, a batch with a leading axis `tasks`.

    Examples:
        >>> class Flipped(qs.tasks.construction.augmentation.TaskAugmentation):
        ...     makes = "new tasks"
        ...     def changed(self, episode, generator):
        ...         support, query = (part.like(-part.x, part.y) for part in (episode.support, episode.query))
        ...         return qs.Episode(support, query, classes=episode.classes)
        >>> x, y = torch.ones(60, 2), torch.arange(60) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[Flipped()])
        >>> float(tasks.sample(3).query.x.max())
        -1.0
    """

    def check(self, x: Any, target: Target) -> None:
        """Raise UnsupportedError for tasks that it cannot change, x (tasks, examples, *feature) and the kind of y.

        A source calls it when it opens, with a single example of zeros.
        """
        if self.needs_classes and not isinstance(target, Labels):
            raise UnsupportedError(
                named(self), expected="tasks with classes", got="tasks with targets", do="Leave it out for regression."
            )

    def __call__(self, episode: Episode, generator: torch.Generator) -> Episode:
        """The changed episodes.

        Raises:
            UnsupportedError: tasks that it cannot change.
        """
        self.check(episode.support.x, episode.support.target)
        return self.changed(episode, generator)

    @abstractmethod
    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        """The changed episodes, of tasks that `check` lets through."""


EpisodeAugmentation = TaskAugmentation | Callable[[Episode, torch.Generator], Episode]


def described(augment: Iterable[Any]) -> dict[str, str]:
    """What each makes, by its text; a protocol says it."""
    return {_text(one): getattr(one, "makes", NOT_SAID) for one in augment}


def said(augment: Iterable[Any]) -> str:
    """The same in a repr; nothing where there is none."""
    each = [f"{text} makes {makes}" if makes != NOT_SAID else text for text, makes in described(augment).items()]
    return f", augment=[{'; '.join(each)}]" if each else ""


def augmented(
    augment: Sequence[EpisodeAugmentation], n: int, generator: torch.Generator, draw: Callable[[int], Episode]
) -> Episode:
    """n episodes of `draw`, changed by each augmentation. For n = 1 a second one is drawn, to mix with.

    One that makes new examples leaves the classes what they are, whatever it does.
    """
    if not augment:
        return draw(n)
    episode = draw(max(n, 2))
    for one in augment:
        classes, episode = episode.classes, one(episode, generator)
        if getattr(one, "makes", NOT_SAID) == "new examples":
            episode.classes = classes
    return episode[:n]


def check_tasks(augment: Iterable[Any], x: Any, target: Target) -> None:
    """Raise UnsupportedError where one cannot change such tasks, or where one adds classes to data that are not split yet.

    Args:
        x: examples as a learner sees them, (tasks, examples, *feature).
    """
    for one in augment:
        if isinstance(one, ClassAugmentation):
            raise UnsupportedError(
                named(one),
                expected="what changes episodes",
                got=f"{one!r}, which adds classes to the data",
                do="Give it to a source, as from_arrays(x, y, augment=...), which splits the classes before.",
            )
        if isinstance(one, TaskAugmentation):
            one.check(x, target)


def check_floats(augmentation: Augmentation, x: Any) -> None:
    """Raise UnsupportedError for x that is no tensor of floats."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = str(x.dtype) if isinstance(x, Tensor) else f"a {type(x).__name__} of tensors"
        raise UnsupportedError(named(augmentation), expected="x of floats", got=got, do="Leave it out for such x.")


def named(augmentation: Augmentation) -> str:
    """The argument, as it was typed."""
    return f"augment=[{type(augmentation).__name__}()]"


def _text(augmentation: Any) -> str:
    return repr(augmentation) if isinstance(augmentation, Augmentation) else getattr(augmentation, "__name__", "a function")
