"""What learners and executors exchange for one task: a state, an answer from it, and an outcome to differentiate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.forward.mode import Statistics

Values = Any  # what an author's `learn` returns: tensors in dicts, lists and tuples
Log = dict[str, Tensor]  # scalars to log, by name
Recorded = tuple[Mapping[str, Any], Mapping[str, int]]  # statistics by norm and turn, and the number of values behind each


class State:
    """What a learner read from a support set: a pytree of tensors.

    Attributes:
        values: what `learn` returned.
        statistics: statistics of the norms that saw the support, by name: {"embed.1": (mean, variance)}.
        counts: the number of values behind each statistic, if a pass has just recorded them; not part of the pytree.

    Examples:
        >>> learner = qs.Prototypical(qs.models.mlp(4, 8))
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4).test.sample(1)[0]
        >>> learner.adapt(task.support).state
        State(values={'prototypes': (3, 8)}, statistics of [])
    """

    __slots__ = ("values", "statistics", "counts")

    def __init__(self, values: Any, statistics: Mapping[str, Any] | None = None, counts: Mapping[str, int] | None = None):
        self.values, self.counts = values, dict(counts or {})
        self.statistics = {norm: tuple(one) for norm, one in (statistics or {}).items()}

    def __repr__(self) -> str:
        shapes = pytree.tree_map(lambda leaf: tuple(leaf.shape) if isinstance(leaf, Tensor) else leaf, self.values)
        return f"State(values={shapes}, statistics of {list(self.statistics)})"


class Answered(NamedTuple):
    """A prediction, and what the norms recorded on the way."""

    prediction: Tensor
    recorded: Recorded


class Outcome(NamedTuple):
    """What an executor returns for each task.

    Attributes:
        loss: a scalar, whose gradient is taken.
        log: scalars to log, by name, such as a solver's residual.
        statistics: (mean, unbiased variance) by norm, for the outer loop to average.
        carry: what a training run carries to the next outer step; () for an episode.

    Examples:
        >>> from quickstudy.forward import Context
        >>> from quickstudy.learners.solve import SVM
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> outcome = SVM(qs.models.mlp(4, 8)).copied(training=True).outcome(task, Context(training=True))
        >>> outcome.loss.shape, list(outcome.log)
        (torch.Size([]), ['residual'])
    """

    loss: Tensor
    log: Log
    statistics: dict[str, Statistics]
    carry: Any


def averages(passes: Sequence[Recorded]) -> dict[str, Statistics]:
    """Mean and unbiased variance of each norm over all passes, each weighted by the number of values that it saw."""
    by_norm: dict[str, list[tuple[Tensor, Tensor, int]]] = {}
    for statistics, counts in passes:
        for key, (mean, variance) in statistics.items():
            by_norm.setdefault(key.partition("#")[0], []).append((mean.detach(), variance.detach(), counts[key]))
    merged = {}
    for norm, seen in by_norm.items():
        total = sum(n for _, _, n in seen)
        mean = sum((mean * (n / total) for mean, _, n in seen), torch.zeros_like(seen[0][0]))
        variance = sum((v * (n / max(n - 1, 1)) * (n / total) for _, v, n in seen), torch.zeros_like(seen[0][1]))
        merged[norm] = Statistics(mean, variance)
    return merged


pytree.register_pytree_node(
    State,
    lambda state: ([state.values, state.statistics], None),
    lambda parts, _: State(*parts),
    serialized_type_name="quickstudy.State",
)
