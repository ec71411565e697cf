"""Ensemble: several learners of one kind read the same support, and their answers are averaged.

    p(y | x)  =  1/M sum_m softmax(F_phi_m(support)(x))        classes; answered as its logarithm                 (1)
    p(y | x)  =  1/M sum_m sigmoid(F_phi_m(support)(x))        yes or no; answered as its logit                   (2)
    f(x)      =  1/M sum_m F_phi_m(support)(x)                 values                                             (3)

The members are the best checkpoints of one meta-training (`meta_train(..., keep=5)`), or those of several with different seeds.

Source: Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019, section 5: the five best checkpoints by validation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from quickstudy.arguments import Range
from quickstudy.episode import Episode, Examples
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Answered, Outcome, State
from quickstudy.learners.wrap.wrapper import Wrapper
from quickstudy.tasks.distribution.interface import TaskDistribution
from quickstudy.weights import load_weights


class Ensemble(Wrapper):
    """M copies of a learner, each with weights of its own.

    `meta_train` trains every member on the same tasks: the loss is the mean of theirs.

    Args:
        learner: the learner to copy; it becomes the first member.
        members: M. All start with equal weights; `Ensemble.of(learner, weights)` gives each its own.

    Raises:
        ArgumentError: fewer than one member, or more than a thousand.

    Examples:
        >>> learner = qs.Prototypical(qs.models.mlp(4, 8))
        >>> tasks = qs.tasks.GaussianClasses(ways=3, dim=4)
        >>> run = qs.meta_train(
        ...     learner, tasks, steps=3, tasks_per_step=2, validate_every=1, validation_episodes=4, keep=3, progress=False
        ... )
        >>> qs.Ensemble.of(learner, run.kept).name
        'Prototypical, ensemble of 3'
    """

    def __init__(self, learner: Learner, members: Annotated[int, Range(1, 1000)] = 5):
        Learner.__init__(self, normalisation=learner.normalisation)
        self.members = nn.ModuleList([learner] + [copy.deepcopy(learner) for _ in range(members - 1)])
        self.name = f"{getattr(learner, 'name', type(learner).__name__)}, ensemble of {members}"

    @classmethod
    def of(cls, learner: Learner, weights: Sequence[Mapping[str, Tensor]]) -> Self:
        """Members with these weights, such as `run.kept` of `meta_train(..., keep=5)`; `learner` itself is not changed."""
        ensemble = cls(copy.deepcopy(learner), len(weights))
        for member, tensors in zip(ensemble.members, weights, strict=True):
            load_weights(member, tensors)
        return ensemble

    # ---- a learner: state and prediction ----

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """What every member learns, after `steps` inner steps if it takes any, under the name of the quantity averaged."""
        return State({support.target.averaged: [member.state(support, context, steps) for member in self._each]})

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """(1), (2), (3)"""
        ((averaged, states),) = state.values.items()
        answers = [member.answer(one, x, context).prediction for member, one in zip(self._each, states, strict=True)]
        if averaged == "values":
            return Answered(torch.stack(answers).mean(0), ({}, {}))  # (3)
        log_mean = lambda logs: logs.logsumexp(0) - math.log(len(answers))  # noqa: E731
        z = torch.stack(answers)
        if averaged == "sigmoid" or (averaged == "binary" and z.ndim == 2):
            return Answered(log_mean(logsigmoid(z)) - log_mean(logsigmoid(-z)), ({}, {}))  # (2)
        return Answered(log_mean(z.log_softmax(-1)), ({}, {}))  # (1)

    def adapted(self, state: State) -> Parameters | None:
        (states,) = state.values.values()
        each = [member.adapted(one) for member, one in zip(self._each, states, strict=True)]
        if any(one is None for one in each):
            return None
        return {f"members.{m}.{name}": value for m, one in enumerate(each) for name, value in (one or {}).items()}

    # ---- what meta-training minimises ----

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """The mean of the members' losses, and of what they log; the statistics of each."""
        each = [member.outcome(episode, context, criterion) for member in self._each]
        log = {name: torch.stack([one.log[name] for one in each]).mean() for name in each[0].log}
        statistics = {norm: seen for one in each for norm, seen in one.statistics.items()}
        return Outcome(torch.stack([one.loss for one in each]).mean(), log, statistics, ())

    # ---- what it has from its members ----

    @property
    def wrapped(self) -> Learner:
        """The first member; all are of one kind."""
        return self._each[0]

    @property
    def adapts_parameters(self) -> bool:
        return self.wrapped.adapts_parameters

    @property
    def _each(self) -> list[Learner]:
        return list(self.members)  # type: ignore[arg-type]

    def prepare(self, tasks: TaskDistribution) -> None:
        for member in self._each:
            member.prepare(tasks)

    def at(self, step: int) -> bool:
        changed = [member.at(step) for member in self._each]
        return any(changed)
