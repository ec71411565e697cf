"""Baseline++: a cosine classifier of all meta-training classes, then another on the new task, with the embedding frozen.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ CE( s cos(f_phi(x), v_y) ) ],      then `CosineProbe` on the support

The baseline that meta-learning has to beat. `PretrainFineTune` adapts the embedding too.

Source: Chen, Liu, Kira, Wang & Huang, "A Closer Look at Few-shot Classification", ICLR 2019, section 3.2.
Paper: miniImageNet 5-way 1-shot 48.24 +- 0.75 %, 5-shot 66.43 +- 0.63 % (Conv4). Differs from it: the new classifier begins at
the class means and not at random, and its 100 steps of momentum are over the whole support and not over batches of 4.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.transfer.cosine_probe import CosineProbe
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import CosineProbeOptions


@remembered
@checked
@hands_on(CosineProbeOptions, CosineProbe)
def BaselinePlusPlus(
    embed: nn.Module,
    *,
    scale: float = 20.0,
    batch_size: PositiveInt = 128,
    outer: Gradient | None = None,
    **options: Unpack[CosineProbeOptions],
) -> CosineProbe:
    """`CosineProbe` with the outer method `Supervised(batch_size)` and Adam; `scale` serves both stages. See `CosineProbe`."""
    outer = outer or Gradient(Supervised(batch_size))
    return CosineProbe(embed, CosineClassifier(scale), scale=scale, outer=outer, name="Baseline++", **options)
