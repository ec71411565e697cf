"""MetaMix: queries between a query and a support example of the same task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Labels, SoftLabels, Target, TokenLabels
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, check_floats, named
from quickstudy.tasks.construction.augmentation.mix_tasks import check_alpha
from quickstudy.tasks.construction.augmentation.pairing import beta


@checked
@dataclass(frozen=True)
class MetaMix(TaskAugmentation):
    """Mix each query of meta-training with a random support example of its task:

        x  =  l x_query + (1 - l) x_support,     loss(x)  =  l loss(x, y_query) + (1 - l) loss(x, y_support)

    l ~ Beta(alpha, alpha) for each query. Labels become shares of classes, `targets.SoftLabels`, whose cross-entropy is that
    sum; targets that are numbers mix like x. The support stays as it is. The queries of a task are mixed with this `probability`.

    Source: Yao et al., "Improving generalization in meta-learning via task augmentation", ICML 2021, section 4.1. Differs from
    the paper, which mixes a hidden layer drawn anew each time: here inputs only, since episodes are changed before any learner
    sees them.

    Raises:
        ArgumentError: alpha of 0 or less; a probability outside [0, 1].

    Examples:
        >>> episodes = qs.tasks.GaussianClasses(ways=3).train.sample(4)
        >>> mixed = qs.tasks.MetaMix()(episodes, torch.Generator().manual_seed(0))
        >>> mixed.query.target, torch.equal(mixed.support.x, episodes.support.x)
        (SoftLabels(count=3), True)
    """

    alpha: float = 2.0
    probability: Probability = 1.0

    makes = "new examples"

    def __post_init__(self) -> None:
        check_alpha("MetaMix", self.alpha)

    def check(self, x: Any, target: Target) -> None:
        check_floats(self, x)
        if isinstance(target, TokenLabels):
            got = repr(target)
            raise UnsupportedError(
                named(self), expected="labels, or targets that are numbers", got=got, do="Leave it out for such y."
            )

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        support, query = episode.support, episode.query
        (n, queries), shots = query.y.shape[:2], support.y.shape[1]
        target, support_y, query_y = self._numbers(support, query)
        if shots == 0:
            raise UnsupportedError(named(self), expected="support examples, to mix with", got="none", do="Leave it out.")
        row = torch.randint(shots, (n, queries), generator=generator).to(query.x.device)
        weight = beta(self.alpha, n * queries, generator).view(n, queries)
        mixed = torch.rand(n, 1, generator=generator) < self.probability
        weight = torch.where(mixed, weight, torch.ones_like(weight))
        task = torch.arange(n, device=row.device)[:, None]

        def mix(own: Tensor, other: Tensor) -> Tensor:
            share = weight.to(own).view(n, queries, *(1,) * (own.ndim - 2))
            return share * own + (1 - share) * other[task, row]

        changed = query.like(mix(query.x, support.x), mix(query_y, support_y), target=target)
        return Episode(support, changed, classes=episode.classes)

    def _numbers(self, support: Examples, query: Examples) -> tuple[Target, Tensor, Tensor]:
        """The kind of the mixed y, and y of both as numbers that mix."""
        target = query.target
        if isinstance(target, Labels):
            own, other = (one_hot(part.y, target.count).to(query.x) for part in (support, query))
            return SoftLabels(target.count), own, other
        return target, support.y, query.y
