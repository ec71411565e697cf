"""Shown episodes: a few meta-test tasks with everything that a reader needs to see what the learner did with them."""

from __future__ import annotations

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
class ShownEpisode:
    """One task: what was learned from, what was asked, what was answered.

    Attributes:
        support, query: the examples.
        prediction: class labels (examples,), or targets.
        probability: of the predicted class, (examples,); None for targets.
        before: what the learner answers after 0 inner steps; None for a learner that takes none, and for classes.
        function: for targets of one input and one output.
    """

    support: Examples
    query: Examples
    prediction: Tensor
    probability: Tensor | None
    before: Tensor | None
    function: Function | None

    @property
    def right(self) -> Tensor:
        """Which queries were classified rightly: (examples,) bool."""
        return self.prediction == self.query.y


def shown_episodes(learner: Learner, test: TaskDistribution, count: int, seed: int) -> list[ShownEpisode]:
    """The first `count` of the episodes that `evaluate` draws with this seed: none is picked by its score."""
    batch = test.sample(BATCH, generator=torch.Generator().manual_seed(seed))
    return [shown(learner, batch[index]) for index in range(count)]


def shown(learner: Learner, episode: Episode) -> ShownEpisode:
    """One episode with the learner's answers."""
    support, query = episode.support, episode.query
    predictor = learner.adapt(support)
    if support.ways is not None:
        probability, prediction = predictor.predict_proba(query.x).max(1)
        return ShownEpisode(support, query, prediction, probability, None, None)
    function = None
    if isinstance(support.x, Tensor) and support.x[0].numel() == 1 and query.y[0].numel() == 1:
        x = torch.cat([support.x, query.x])
        grid = torch.linspace(float(x.min()), float(x.max()), GRID, dtype=x.dtype, device=x.device)
        inputs = grid.reshape(-1, *support.x.shape[1:])
        before = unadapted(learner, support, inputs)
        function = Function(grid.cpu(), before if before is None else before.flatten().cpu(), predictor(inputs).flatten().cpu())
    return ShownEpisode(support, query, predictor(query.x), None, unadapted(learner, support, query.x), function)


def unadapted(learner: Learner, support: Examples, x: Any) -> Tensor | None:
    """The answer after 0 inner steps; None for a learner that takes none."""
    if not hasattr(learner, "inner_steps"):
        return None
    with torch.no_grad():
        return learner(support, x, steps=0)
