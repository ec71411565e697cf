"""Checks that a prediction does not depend on the order of the support, the numbering of the classes or the other queries."""

from __future__ import annotations

import torch

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ShapeError
from quickstudy.learners.learner import Learner
from quickstudy.testing.check import TOLERANCE, ConformanceError, agree, difference, double, rows


def check_order(learner: Learner, episode: Episode) -> None:
    """The order of the support set does not matter, if the learner declares it (`order_invariant`)."""
    if not learner.order_invariant:
        return
    learner, episode = double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    order = torch.randperm(len(episode.support), generator=torch.Generator().manual_seed(1))
    for other in (order, order.flip(0)):
        agree(
            "order",
            learner,
            learner.adapt(rows(episode.support, other.to(episode.support.y.device)))(episode.query.x),
            answer,
            "another order of the support set changes the answer by",
            "Sum or average over examples; or declare `order_invariant = False`.",
        )


def check_labels(learner: Learner, episode: Episode) -> None:
    """Renumbering the classes permutes the prediction, if the learner declares it (`label_equivariant`)."""
    ways = episode.support.ways
    if ways is None or not learner.label_equivariant:
        return
    learner, episode = double(learner, episode)
    support = episode.support
    renamed = torch.roll(torch.arange(ways, device=support.y.device), 1)
    answer = learner.adapt(support)(episode.query.x)
    other = learner.adapt(Examples(support.x, renamed[support.y], ways))(episode.query.x)
    agree(
        "labels",
        learner,
        other[:, renamed],
        answer[:, :ways],
        "renumbering the classes does not permute the answer: it differs by",
        "Treat every class alike; or declare `label_equivariant = False`.",
    )


def check_transductive(learner: Learner, episode: Episode) -> None:
    """Queries get the same prediction one by one as together, unless the policy is "transductive"."""
    if learner.normalisation != "transductive" and is_transductive(learner, episode):
        raise ConformanceError(
            "transductive",
            learner,
            "queries answered one by one are not answered as together",
            "Its scores look at the whole query set: say normalisation='transductive', or let no query see another.",
        )


def is_transductive(learner: Learner, episode: Episode) -> bool:
    """Whether the prediction for a query depends on the other queries of its batch. Report this beside every accuracy."""
    learner, episode = double(learner, episode)
    predictor = learner.adapt(episode.support)
    try:
        one_by_one = [predictor(rows(episode.query, slice(i, i + 1)).x) for i in range(len(episode.query))]
    except ShapeError:  # a norm with statistics of the queries needs more than one
        return True
    return difference(torch.cat(one_by_one), predictor(episode.query.x)) > TOLERANCE
