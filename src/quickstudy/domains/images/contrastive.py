"""Contrastive: a pretext task on images without labels, in which two views of one image agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.domains.images.views import Augmentation
from quickstudy.errors import ShapeError
from quickstudy.forward.context import Context
from quickstudy.learners.functional import unit
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.learners.transfer.pretext import Projection
from quickstudy.learners.transfer.pretrained import Pretrained
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.pretraining import check_batch, check_pretext, pretext

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


@checked
@dataclass(frozen=True)
class Contrastive(Estimator):
    """SimCLR: the embeddings of two views of an image agree, those of different images do not. No label is read.

    Args:
        temperature: tau of the loss.
        batch_size: N images per step, 2N views.
        augmentation: makes a view of an image.

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, eq. 1, algorithm 1.

    Examples:
        >>> from quickstudy.domains.images import Contrastive, ContrastivePretrain
        >>> tasks = qs.tasks.Strokes(classes=(8, 5, 5), examples=16)
        >>> learner = ContrastivePretrain(torch.nn.Flatten(), outer=qs.Gradient(Contrastive(batch_size=16)))
        >>> result = qs.meta_train(learner, tasks.train, steps=2, tasks_per_step=1, executor="loop", progress=False)
        >>> [record["step"] for record in result.history]
        [1, 2]
    """

    temperature: PositiveFloat = 0.2
    batch_size: PositiveInt = 128
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        check_batch(self.batch_size)

    def draw(self, tasks: TaskDistribution, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Two views of a minibatch as one task: each (1, examples, *feature)."""
        x = minibatch(tasks, self.batch_size, generator).x
        if not isinstance(x, Tensor):
            raise ShapeError(
                "tasks",
                expected="examples whose x is one tensor, which Augmentation can change",
                got=f"a {type(x).__name__}",
                do="Use PretrainFineTune, which needs no augmentation.",
            )
        return {name: self.augmentation(x, generator)[None] for name in ("first", "second")}

    def objective(self, learner: Learner, views: dict[str, Tensor], criterion: Loss | None, context: Context) -> Outcome:
        assert isinstance(learner, Pretrained)  # see check
        output, statistics = pretext(learner, torch.cat([views["first"], views["second"]]), context)
        first, second = output.chunk(2)
        return Outcome(nt_xent(first, second, self.temperature), {}, statistics, ())

    def check(self, learner: Learner) -> None:
        check_pretext(self, learner, Projection)


def nt_xent(a: Tensor, b: Tensor, temperature: PositiveFloat) -> Tensor:
    """The normalised temperature-scaled cross-entropy of two views a, b (examples, features) of the same examples.

        l(i, j)  =  - log  exp( cos(z_i, z_j) / tau )  /  sum_{k != i} exp( cos(z_i, z_k) / tau ),      z = [a; b]
        mean of l(i, j) over the 2N ordered pairs (i, j) of views of one example

    Source: Chen et al. 2020, eq. 1.
    """
    z = unit(torch.cat([a, b]))
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(similarity, partner)
