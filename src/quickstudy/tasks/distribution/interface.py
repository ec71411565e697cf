"""The interface of task distributions: all that meta-training, evaluation and the baselines use of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.content import Held
from quickstudy.tasks.distribution.size import Size

Transform = Callable[[Tensor, torch.Generator], Tensor]  # of images (examples, *feature), for meta-training


PREPROCESSING = "preprocessing.json"


@runtime_checkable
class Preprocessing(Protocol):
    """How a file becomes a learner's input; a domain's own class has more methods.

    Attributes:
        asked: the names of what a source is asked for, and does not find in the data.
        untrained: what `plain_features` gives, in a word or two: "the inputs".
    """

    asked: ClassVar[tuple[str, ...]]
    untrained: ClassVar[str]

    def apply(self, x: Tensor) -> Any:
        """x as the learner sees it: a tensor, or a pytree of them."""

    def plain_features(self) -> nn.Module:
        """What a control that learns nothing compares of x, (examples, features)."""

    def fitted(self, x: Tensor) -> Self:
        """The same, with the mean and standard deviation of x."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data from which it can be rebuilt."""

    def save(self, folder: Path) -> None:
        """Write it into a folder as `PREPROCESSING`."""


class TaskDistribution(ABC):
    """p(tasks), under a protocol of `ways`, `shots` and `queries`. A distribution is immutable: `with_` and `to` return new ones.

    Examples:
        >>> tasks: qs.tasks.TaskDistribution = qs.tasks.Sinusoid(shots=5, queries=10).train
        >>> episodes = tasks.sample(4)
        >>> episodes.support.x.shape, episodes.query.x.shape
        (torch.Size([4, 5, 1]), torch.Size([4, 10, 1]))
        >>> tasks.with_(shots=1).protocol
        {'ways': None, 'shots': 1, 'queries': 10}
    """

    ways: Size | None  # classes of an episode; None where a task has targets and no classes
    shots: Size  # support examples of each class, or of the task where it has no classes
    queries: Size  # query examples, likewise

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes, with a leading axis `tasks`. A CPU generator gives the same ones on any device; None: fresh ones each time.

        Raises:
            ArgumentError: n below 1.
        """

    @abstractmethod
    def examples(self) -> Examples:
        """The examples of all tasks pooled, (examples, *feature), for pre-training and joint training."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """The same distribution, with its episodes on `device`."""

    @abstractmethod
    def check_protocol(self) -> None:
        """Raise ArgumentError or TaskError if no episode of this protocol can be drawn."""

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> Self:
        """The same distribution (the same data, shared) under another protocol; sizes that are not given stay.

        Raises:
            ArgumentError: ways or queries below 1, shots below 0, or one that is neither an int nor a (low, high) range; ways for
                tasks without classes.
            TaskError: more ways, shots or queries than the data can give.
        """
        if ways is not None and self.ways is None:
            raise ArgumentError(
                "ways",
                expected=f"nothing: {type(self).__name__} have targets and no classes",
                got=repr(ways),
                do="Leave `ways` out.",
            )
        other = copy(self)
        given = {"ways": ways, "shots": shots, "queries": queries}
        other.__dict__.update({name: size for name, size in given.items() if size is not None})
        other.check_protocol()
        return other

    def contents(self, *, read: bool = False) -> list[Held]:
        """What its examples are by their content, to find those that another part has too; empty where nothing tells.

        Args:
            read: also what is read as it is drawn; all of it is read once.
        """
        return []

    @property
    def protocol(self) -> dict[str, Any]:
        """ways, shots and queries, which are reported beside every score."""
        return {"ways": self.ways, "shots": self.shots, "queries": self.queries}

    def _repr_html_(self) -> str | None:
        from quickstudy.report.notebook import of_tasks

        return of_tasks(self)


def check_count(n: int) -> None:
    """Raise ArgumentError for a batch of less than one episode."""
    if n < 1:
        raise ArgumentError("sample(n)", expected="1 episode or more", got=str(n), do="Ask for at least one.")
