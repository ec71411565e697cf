"""Checks of output shape, complete state, purity and determinism."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner
from quickstudy.meta.gradient import meta_gradient
from quickstudy.randomness import seeded
from quickstudy.testing.check import ConformanceError, agree, difference, double, meta_learns, scaled


def check_answer(learner: Learner, episode: Episode) -> None:
    """The prediction has one row a query and one column a class; `learner(support, x)` and a predictor agree."""
    answer = learner.adapt(episode.support)(episode.query.x)
    ways = episode.support.ways
    shape = tuple(answer.shape[:1]) if ways is None else tuple(answer.shape)
    rows = len(episode.query)
    if shape[0] != rows or (ways is not None and (len(shape) != 2 or shape[1] < ways)):
        want = f"({rows}, {ways})" if ways is not None else f"({rows}, *target)"
        raise ConformanceError(
            "answer",
            learner,
            f"it answers {rows} queries with a tensor of shape {tuple(answer.shape)}, not {want}",
            "Return one row for each query from `predict`.",
        )
    learner, episode = double(learner, episode)
    answer = learner.adapt(episode.support)(episode.query.x)
    agree(
        "answer",
        learner,
        learner(episode.support, episode.query.x).detach(),
        answer,
        "learner(support, x) and learner.adapt(support)(x) differ by",
        "Let both go through `learn` and `predict`.",
    )
    agree(
        "answer",
        learner,
        learner.adapt(episode.support).to_module()(episode.query.x),
        answer,
        "predictor.to_module() and the predictor differ by",
        "Keep all that was learned in the state, and nothing outside it.",
    )


def check_state(learner: Learner, episode: Episode) -> None:
    """The state is a pytree of tensors without a graph, and is complete: adapting to another task does not change a predictor."""
    with torch.no_grad():
        state = learner.copied().state(episode.support, Context()).values
    for leaf in pytree.tree_leaves(state):
        if not isinstance(leaf, Tensor):
            raise ConformanceError(
                "state",
                learner,
                f"its state holds an object of type {type(leaf).__name__}",
                "Keep tensors only: what is fixed belongs to the learner, and vmap returns nothing else.",
            )
    predictor = learner.adapt(episode.support)
    if any(leaf.requires_grad for leaf in pytree.tree_leaves(predictor.state)):
        raise ConformanceError("state", learner, "adapt returns a state that requires a gradient", "Let adapt cut it.")
    try:
        before = predictor(episode.query.x)
    except AttributeError as error:
        raise ConformanceError(
            "state",
            learner,
            f"`predict` asks for `{error.name}`, which `learn` has left on itself: each call runs on a copy of its own",
            "Return what `learn` finds in the state, and keep none of it on the learner.",
        ) from error
    learner.adapt(scaled(episode.support, -3.0))
    if not torch.equal(predictor(episode.query.x), before):
        raise ConformanceError(
            "state",
            learner,
            "a predictor answers otherwise after its learner has adapted to another task",
            "Return what `learn` finds in the state, and keep none of it on the learner.",
        )


def check_changes_nothing(learner: Learner, episode: Episode) -> None:
    """adapt, predict, the loss and its gradient leave parameters, buffers, gradients and train/eval flags as they were."""
    for training in (True, False):
        learner.train(training)
        before = snapshot(learner)
        predictor = learner.adapt(episode.support)
        predictor(episode.query.x)
        with torch.enable_grad():
            learner.loss(episode)
        if meta_learns(learner):
            meta_gradient(learner, [episode])
        if (name := changed(before, snapshot(learner))) is not None:
            raise ConformanceError(
                "changes_nothing",
                learner,
                f"{name} is not what it was before adapt, predict and loss",
                "`learn` and `predict` are pure: keep what is learned in the state.",
            )


def check_determinism(learner: Learner, episode: Episode) -> None:
    """The same support gives the same answer, bit for bit, whatever the random state of torch, NumPy and Python."""
    answers = [learner.adapt(episode.support)(episode.query.x) for _ in range(2)]
    with seeded(1):
        answers[1] = learner.adapt(episode.support)(episode.query.x) if torch.equal(*answers) else answers[1]
    if not torch.equal(*answers):
        raise ConformanceError(
            "determinism",
            learner,
            f"two runs on one support differ by {difference(*answers):.1e}",
            "Draw from a generator of your own with a fixed seed, made anew in `learn`.",
        )


def snapshot(learner: Learner) -> list[tuple[str, Any]]:
    """All that no call may change, with a name for each: tensors, gradients, flags and arguments."""
    tensors = [*learner.named_parameters(), *learner.named_buffers()]
    return [
        *((f"`{name}`", tensor.detach().clone()) for name, tensor in tensors),
        *((f"the gradient of `{name}`", None if p.grad is None else p.grad.clone()) for name, p in learner.named_parameters()),
        *((f"the train/eval flag of `{name}`", module.training) for name, module in learner.named_modules()),
        *((f"the argument `{name}`", (id(value), repr(value))) for name, value in learner.arguments.items()),
    ]


def changed(before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> str | None:
    """The name of the first thing that two snapshots have otherwise; None if they are the same."""
    if [name for name, _ in before] != [name for name, _ in after]:
        return "the list of its tensors, modules and arguments"
    for (name, one), (_, other) in zip(before, after, strict=True):
        same = torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else one == other
        if not same:
            return name
    return None
