"""Linear probe: train a classifier of all meta-training classes, then fit a logistic regression on its frozen embedding.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ CE( s cos(f_phi(x), v_y) ) ],      then `Probe` on the support

Source: Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.learners.transfer.probe import Probe
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import ProbeOptions


@remembered
@checked
@hands_on(ProbeOptions, Probe)
def LinearProbe(
    embed: nn.Module,
    *,
    scale: float = 20.0,
    batch_size: PositiveInt = 128,
    outer: Gradient | None = None,
    **options: Unpack[ProbeOptions],
) -> Probe:
    """`Probe` with the outer method `Supervised(batch_size)` and Adam; `scale` is that of its cosines. See `Probe`."""
    outer = outer or Gradient(Supervised(batch_size))
    return Probe(embed, CosineClassifier(scale), outer=outer, name="LinearProbe", **options)
