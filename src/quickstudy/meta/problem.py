"""Problem: the scalar of one task as a pure function of phi. What every executor differentiates, and maps over tasks.

    f(phi, buffers, episode, seed) -> (loss, measures)

`phi` are the learner's trainable parameters and `buffers` its buffers, both by name; `seed` is the episode's, for dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from quickstudy.choice import choices, drawn
from quickstudy.learners.learner import Learner, Loss, Measures
from quickstudy.meta.estimator import Estimator
from quickstudy.network import Parameters
from quickstudy.rules import Normalisation, Rules, Source

# Where batch norm takes its statistics in a network that a learner's own `loss` calls plainly, outside learn and predict.
EPISODE: dict[Normalisation, Source] = {"support": "batch", "running": "record", "transductive": "batch", "frozen": "running"}


class Answer(NamedTuple):
    """What an executor returns: losses (tasks,), measures each with a leading axis `tasks`, and the mean gradient."""

    losses: Tensor
    measures: Measures
    gradient: Parameters


class Problem(nn.Module):
    """The objective of one task, as a module that holds the learner."""

    def __init__(
        self, learner: Learner, estimator: Estimator, criterion: Loss | None = None, precision: torch.dtype | None = None
    ):
        super().__init__()
        self.learner, self.estimator, self.precision = learner, estimator, precision
        self.draws = bool(choices(learner))
        self.criterion: Loss | None
        object.__setattr__(self, "criterion", criterion)  # a criterion with parameters is no part of phi

    def forward(self, episode: Any, seed: Tensor) -> tuple[Tensor, Measures]:
        """The objective, and the measures; under "running", the batch statistics too, for the outer loop to average."""
        rules = Rules(EPISODE[self.learner.normalisation], seed=seed, episode=True)
        with rules, self._autocast(seed), drawn(self.learner, seed) if self.draws else nullcontext():
            loss, measures = self.estimator.objective(self.learner, episode, self.criterion)
        return loss, {**measures, **_running(self.learner, rules)}

    def _autocast(self, seed: Tensor) -> torch.autocast:
        return torch.autocast(seed.device.type, dtype=self.precision or torch.bfloat16, enabled=self.precision is not None)

    def function(self) -> Callable[[Parameters, Parameters, Any, Tensor], tuple[Tensor, Measures]]:
        """f(phi, buffers, episode, seed) -> (loss, measures), pure."""

        def f(phi: Parameters, buffers: Parameters, episode: Any, seed: Tensor) -> tuple[Tensor, Measures]:
            own = {name: buffer.clone() for name, buffer in buffers.items()}
            return functional_call(self, {**phi, **own}, (episode, seed))

        return f

    def phi(self) -> Parameters:
        """The trainable parameters by name, each a fresh leaf that shares the parameter's memory."""
        return {
            name: parameter.detach().requires_grad_() for name, parameter in self.named_parameters() if parameter.requires_grad
        }

    def buffers_by_name(self) -> Parameters:
        """The buffers by name."""
        return dict(self.named_buffers())


def gradient(loss: Tensor, phi: Parameters) -> Parameters:
    """d loss / d phi by plain autograd, zeros where the loss does not depend on a parameter."""
    if not phi:
        return {}
    if not loss.requires_grad:
        return {name: torch.zeros_like(parameter) for name, parameter in phi.items()}
    gradients = torch.autograd.grad(loss, list(phi.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if one is None else one
        for (name, parameter), one in zip(phi.items(), gradients, strict=True)
    }


def tasks_of(episodes: Any) -> int:
    """The length of the leading axis `tasks`."""
    return pytree.tree_leaves(episodes)[0].shape[0]


def task(episodes: Any, t: int | slice) -> Any:
    """The task t of a batch, or a slice of tasks."""
    return pytree.tree_map(lambda leaf: leaf[t], episodes)


def bare(parameters: Parameters) -> Parameters:
    """Names without the problem's prefix: as the learner's own `named_parameters` has them."""
    return {name.removeprefix("learner."): parameter for name, parameter in parameters.items()}


def _running(learner: Learner, rules: Rules) -> Measures:
    """Batch mean and unbiased variance of each batch norm with running averages, as measures named for its buffers."""
    if rules.norm != "record" or not rules.kept:
        return {}
    found: dict[str, list] = {}
    names = [(name, buffer) for name, buffer in learner.named_buffers() if name.endswith("running_mean")]
    for kept, target in zip(rules.kept, rules.targets, strict=True):
        for name, buffer in names:
            if buffer is target:
                found.setdefault(name.removesuffix("running_mean"), []).append(kept)
    measures: Measures = {}
    for name, all_kept in found.items():
        total = sum(kept.values for kept in all_kept)
        mean = sum(kept.mean * (kept.values / total) for kept in all_kept)
        unbiased = sum(kept.variance * (kept.values / max(kept.values - 1, 1)) * (kept.values / total) for kept in all_kept)
        measures[f"statistics/{name}running_mean"] = torch.as_tensor(mean).detach()
        measures[f"statistics/{name}running_var"] = torch.as_tensor(unbiased).detach()
    return measures
