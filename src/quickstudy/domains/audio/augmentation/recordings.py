"""What all augmentations of recordings have in common: something is drawn for each recording, or once for each task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from quickstudy.episode import Episode
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, check_floats, named

Drawn = Literal["example", "task"]
Between = tuple[float, float]


class RecordingAugmentation(TaskAugmentation):
    """The base of augmentations of x (tasks, examples, samples).

    Attributes:
        drawn: "example": anew for each recording; "task": once for a task, whose support and query then share a voice, or a room.
    """

    makes = "new examples"
    drawn: ClassVar[Drawn] = "example"

    def check(self, x: Any, target: Target) -> None:
        check_floats(self, x)
        if x.ndim != 3:
            got = f"x of shape {tuple(x.shape[2:])}"
            raise UnsupportedError(named(self), expected="recordings, (samples,)", got=got, do="Leave it out for other data.")

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        support, query = episode.support, episode.query
        x = torch.cat([support.x, query.x], 1)
        tasks, examples, samples = x.shape
        draws = self.draw(tasks if self.drawn == "task" else tasks * examples, samples, generator)
        if self.drawn == "task":
            draws = draws.repeat_interleave(examples, 0)
        y = self.applied(x.flatten(0, 1), draws.to(x)).view(x.shape)
        support_x, query_x = y.split([support.x.shape[1], query.x.shape[1]], 1)
        return Episode(support.like(support_x, support.y), query.like(query_x, query.y), classes=episode.classes)

    @abstractmethod
    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        """What is drawn for n recordings of so many samples: (n, ...)."""

    @abstractmethod
    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        """Recordings (n, samples), changed by what was drawn for each."""


def uniform(between: Between, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform between two numbers."""
    low, high = between
    return low + (high - low) * torch.rand(shape, generator=generator)


def check_between(argument: str, between: Between, least: float = -torch.inf) -> None:
    """Raise ArgumentError unless the two numbers are in order, and above `least`."""
    if not least < between[0] <= between[1]:
        expected = "two numbers, the lower one first" + (f", above {least:g}" if least > -torch.inf else "")
        raise ArgumentError(argument, expected=expected, got=str(between), do="Leave it out for the default.")


def as_loud(y: Tensor, x: Tensor) -> Tensor:
    """y (n, samples) with the power of x, or less, so that no sample is beyond 1."""
    gain = (x.square().sum(1) / y.square().sum(1).clamp(min=1e-12)).sqrt()
    return y * gain.minimum(1 / y.abs().amax(1).clamp(min=1e-12))[:, None]
