"""Problem: the scalar of one task as a pure function of phi, which every executor differentiates and maps over tasks.

    f(phi, buffers, episode, seed) -> Outcome(loss, log, statistics, carry)

`phi` are the learner's trainable parameters by name; `seed` seeds all draws of the episode.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.buckets import Buckets
from quickstudy.forward._torch import swapped
from quickstudy.forward.blueprint import Blueprint
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Statistics
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Log, Outcome
from quickstudy.meta.estimator import Estimator
from quickstudy.models.choice import choices, drawn

Function = Callable[[Parameters, Parameters, Any, Any], Outcome]


class Answer(NamedTuple):
    """What an executor returns for a batch.

    Attributes:
        losses: the loss of each task, (tasks,).
        log: scalars by name, each (tasks,).
        gradient: the mean over tasks, by parameter name.
        statistics: batch statistics by norm layer, each with a leading axis `tasks`.
        carry: what training runs carry on, each leaf with a leading axis `tasks`; () for episodes.
    """

    losses: Tensor
    log: Log
    gradient: Parameters
    statistics: dict[str, Statistics]
    carry: Any


class Problem:
    """The objective of one task.

    Args:
        learner: F_phi.
        estimator: defines the scalar of a task to differentiate.
        criterion: the outer loss; None: the learner's own. Its parameters are not part of phi.
        precision: autocast dtype of forward passes; None: the caller's own setting.
    """

    def __init__(
        self, learner: Learner, estimator: Estimator, criterion: Loss | None = None, precision: torch.dtype | None = None
    ):
        self.learner, self.estimator, self.criterion, self.precision = learner, estimator, criterion, precision
        self.draws = bool(choices(learner))

    def outcome(self, learner: Learner, episode: Any, seed: Any) -> Outcome:
        """The outcome of one task, computed by a private copy of the learner."""
        context = Context(True, seed)
        with self._autocast(), drawn(learner, seed) if self.draws else nullcontext():
            return self.estimator.objective(learner, episode, self.criterion, context)

    def _autocast(self) -> Any:
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def function(self) -> Function:
        """f(phi, buffers, episode, seed) -> Outcome, pure: each call runs a copy of its own, which holds phi."""
        plan = Blueprint(self.learner, training=True)

        def f(phi: Parameters, buffers: Parameters, episode: Any, seed: Any) -> Outcome:
            return self.outcome(plan(phi), episode, seed)

        return f

    def traceable(self) -> Function:
        """The same for torch.compile, which cannot trace the copies: one private copy, in which tensors are swapped."""
        copy = Blueprint(self.learner, training=True)()
        held = {name for name, _ in copy.named_buffers()}  # without the norms' batch counters

        def f(phi: Parameters, buffers: Parameters, episode: Any, seed: Any) -> Outcome:
            clones = {name: buffer.clone() for name, buffer in buffers.items() if name in held}
            with swapped(copy, {**phi, **clones}):
                return self.outcome(copy, episode, seed)

        return f

    def phi(self) -> Parameters:
        """The trainable parameters by name, each a fresh leaf that shares the parameter's memory."""
        return {
            name: parameter.detach().requires_grad_()
            for name, parameter in self.learner.named_parameters()
            if parameter.requires_grad
        }

    def buffers(self) -> Parameters:
        """The buffers by name."""
        return dict(self.learner.named_buffers())

    @property
    def device(self) -> torch.device:
        """The learner's device."""
        return self.learner.device


def gradient(loss: Tensor, phi: Parameters) -> Parameters:
    """d loss / d phi by plain autograd, zeros where the loss does not depend on a parameter."""
    if not phi or not loss.requires_grad:
        return {name: torch.zeros_like(parameter) for name, parameter in phi.items()}
    return dict(zip(phi, torch.autograd.grad(loss, list(phi.values()), materialize_grads=True), strict=True))


def tasks_of(episodes: Any) -> int:
    """The length of the leading axis `tasks`; of `Buckets` the tasks of all families."""
    if isinstance(episodes, Buckets):
        return len(episodes)
    return pytree.tree_leaves(episodes)[0].shape[0]


def task(episodes: Any, t: int | slice) -> Any:
    """The task t of a batch, or a slice of tasks."""
    if isinstance(episodes, Buckets):
        return episodes[t]
    return pytree.tree_map(lambda leaf: leaf[t], episodes)
