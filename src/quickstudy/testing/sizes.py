"""Checks with other task sizes and in double precision."""

from __future__ import annotations

import torch
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import QuickstudyError
from quickstudy.learners.learner import Learner
from quickstudy.testing.check import ConformanceError, double, rows


def check_small_tasks(learner: Learner, episode: Episode) -> None:
    """The learner handles 1 shot, one class, one query, and no query."""
    ways, support, query = episode.support.ways, episode.support, episode.query
    cases = {"one query": (support, rows(query, slice(0, 1)))}
    if learner.normalisation != "transductive":
        cases["no query"] = support, rows(query, slice(0, 0))
    if ways is not None:
        first = torch.stack([(support.y == k).nonzero()[0, 0] for k in range(ways)])
        cases["1 shot"] = rows(support, first), query
        cases["one class"] = _one_class(support), _one_class(query)
    else:
        cases["1 shot"] = rows(support, slice(0, 1)), query
    for name, (learned, asked) in cases.items():
        do = "Look at variances and divisions over a single example."
        try:
            answer = learner.adapt(learned)(asked.x)
        except QuickstudyError as error:
            raise ConformanceError("small_tasks", learner, f"it does not learn a task of {name}: {error}", do) from error
        if answer.shape[0] != len(asked) or not bool(torch.isfinite(answer).all()):
            found = f"a task of {name} gives a tensor of shape {tuple(answer.shape)}"
            raise ConformanceError("small_tasks", learner, f"{found} for {len(asked)} queries, or NaN or infinity in it", do)


def check_float64(learner: Learner, episode: Episode) -> None:
    """In float64 the prediction is float64, and close to the one in float32."""
    learner, episode = double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    if answer.dtype != torch.float64:
        raise ConformanceError(
            "float64",
            learner,
            f"a learner and an episode in float64 give {answer.dtype}",
            "Make new tensors with the dtype of the inputs or parameters.",
        )
    fine = pytree.tree_map(lambda leaf: leaf + 1e-10 if leaf.is_floating_point() else leaf, episode.query.x)
    same = torch.equal(learner.adapt(episode.support)(fine), answer)
    floating = any(leaf.is_floating_point() for leaf in pytree.tree_leaves(episode.query.x))
    if same and floating and bool((answer != answer[:1]).any()):
        raise ConformanceError(
            "float64",
            learner,
            "a change of 1e-10 in the queries does not reach the answer",
            "Somewhere on the way it is rounded to float32.",
        )


def _one_class(examples: Examples) -> Examples:
    first_class = rows(examples, examples.y == 0)
    return Examples(first_class.x, first_class.y, 1)
