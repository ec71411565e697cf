"""Example episodes: a few meta-test tasks, each with the learner's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.episode import Episode, Examples
from quickstudy.evaluation.evaluate import BATCH
from quickstudy.learners.learner import Learner
from quickstudy.tasks.distribution.interface import TaskDistribution

GRID = 200  # values of x at which a function of one variable is drawn


@dataclass(frozen=True)
class Function:
    """Predictions of a function of one variable over a grid x (points,): (points,) before and after adaptation."""

    x: Tensor
    before: Tensor | None
    after: Tensor


@dataclass(frozen=True)
class ExampleEpisode:
    """One task: its support, its queries and the learner's predictions.

    Attributes:
        support, query: the examples.
        prediction: class labels (examples,), or targets.
        probability: of the predicted class, (examples,); None for a regression task.
        before: the prediction after 0 inner steps; None for a learner without inner steps, and for classes.
        function: for a regression task with one input and one output.
        names: of the classes in the order of their labels, without the folders that all classes of the data share; None where
            they have none.
    """

    support: Examples
    query: Examples
    prediction: Tensor
    probability: Tensor | None
    before: Tensor | None
    function: Function | None
    names: Sequence[str] | None = None

    @property
    def right(self) -> Tensor:
        """Which queries were classified correctly: (examples,) bool."""
        return self.prediction == self.query.y


def example_episodes(learner: Learner, test: TaskDistribution, count: int, seed: int) -> list[ExampleEpisode]:
    """The first `count` episodes that `evaluate` draws with this seed; they are not selected by score."""
    batch = test.sample(BATCH, generator=torch.Generator().manual_seed(seed))
    return [example_of(learner, batch[index]) for index in range(count)]


def example_of(learner: Learner, episode: Episode) -> ExampleEpisode:
    """One episode with the learner's predictions."""
    support, query = episode.support, episode.query
    predictor = learner.adapt(support)
    if support.ways is not None:
        probability, prediction = predictor.predict_proba(query.x).max(1)
        names = None if episode.classes is None else episode.classes.short
        return ExampleEpisode(support, query, prediction, probability, None, None, names or episode.class_names)
    function = None
    if isinstance(support.x, Tensor) and support.x[0].numel() == 1 and query.y[0].numel() == 1:
        x = torch.cat([support.x, query.x])
        grid = torch.linspace(float(x.min()), float(x.max()), GRID, dtype=x.dtype, device=x.device)
        inputs = grid.reshape(-1, *support.x.shape[1:])
        before = unadapted(learner, support, inputs)
        function = Function(grid.cpu(), before if before is None else before.flatten().cpu(), predictor(inputs).flatten().cpu())
    return ExampleEpisode(support, query, predictor(query.x), None, unadapted(learner, support, query.x), function)


def unadapted(learner: Learner, support: Examples, x: Any) -> Tensor | None:
    """The prediction after 0 inner steps; None for a learner without inner steps."""
    if not hasattr(learner, "inner_steps"):
        return None
    with torch.no_grad():
        return learner(support, x, steps=0)
