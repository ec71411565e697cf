"""SimpleShot: nearest centroids of centred features of length 1, with an embedding trained as an ordinary classifier.

    m  =  the mean of f(x) over the meta-training data,      then `CentredCentroid` with that m (the paper's CL2N)

First train the embedding on all meta-training classes at once:

    learner = PretrainFineTune(embed)
    meta_train(learner, tasks, ...)
    simple = SimpleShot(learner.embedding, tasks.train)

Source: Wang, Chao, Weinberger & van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning",
2019, section 3. The paper's classifier is linear; PretrainFineTune's is of cosines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.episode import Examples
from quickstudy.forward.call import call, plain
from quickstudy.forward.context import Context, Normalisation
from quickstudy.forward.mode import Forward
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.transfer.pooled import minibatch
from quickstudy.tasks.distribution.interface import TaskDistribution

BATCH = 256  # examples embedded at once


@remembered
@checked
def SimpleShot(
    embed: nn.Module,
    base: TaskDistribution,
    *,
    examples: PositiveInt = 10_000,
    scale: float = 10.0,
    normalisation: Normalisation = "running",
) -> CentredCentroid:
    """`CentredCentroid(embed)` with the mean of the base data.

    Args:
        embed: f, already trained; its batch norms, if any, need running averages.
        base: the meta-training tasks.
        examples: number of their examples, drawn at random, to average; all if there are fewer.
        scale, normalisation: as in `CentredCentroid`.
    """
    some = minibatch(base, examples, torch.Generator().manual_seed(0))
    return CentredCentroid(embed, mean=base_mean(plain("embed", embed), some), scale=scale, normalisation=normalisation)


def base_mean(embed: nn.Module, examples: Examples) -> Tensor:
    """The mean of f(x) (features,) over examples, with running averages in f's norms."""
    device = next((parameter.device for parameter in embed.parameters()), examples.y.device)
    total: Tensor | None = None
    for start in range(0, len(examples), BATCH):
        x = pytree.tree_map(lambda leaf: leaf[start : start + BATCH].to(device), examples.x)  # noqa: B023 (called at once)
        with torch.no_grad():
            part = call(embed, {}, x, Forward(Context(), "running")).sum(0)
        total = part if total is None else total + part
    assert total is not None  # minibatch gives at least one example
    return total / len(examples)
