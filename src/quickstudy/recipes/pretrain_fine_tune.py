"""Pre-train and fine-tune: train a classifier of all meta-training classes, then fine-tune its embedding on the new task.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ CE( s cos(f_phi(x), v_y) ) ],      then `FineTune` on the support

Both stages use cosines (Baseline++), so that the class means of the support serve as weights of the kind that was trained.

Source: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019; Dhillon et al., "A Baseline for Few-Shot
Image Classification", ICLR 2020.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import FineTuneOptions


@remembered
@checked
@hands_on(FineTuneOptions, FineTune)
def PretrainFineTune(
    embed: nn.Module,
    *,
    scale: float = 20.0,
    batch_size: PositiveInt = 128,
    outer: Gradient | None = None,
    **options: Unpack[FineTuneOptions],
) -> FineTune:
    """`FineTune` with the outer method `Supervised(batch_size)` and Adam; `scale` serves both stages. See `FineTune`."""
    outer = outer or Gradient(Supervised(batch_size))
    return FineTune(embed, CosineClassifier(scale), scale=scale, outer=outer, name="PretrainFineTune", **options)
