"""Pre-train on images without labels (SimCLR), then fine-tune.

    phi*  =  argmin_phi  E_{images} [ NT-Xent( h_phi(f_phi(x')), h_phi(f_phi(x'')) ) ],         then `FineTune` on the support

Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
"""

from __future__ import annotations

from typing import Unpack

from torch import nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.domains.images.contrastive import Contrastive
from quickstudy.domains.images.views import Augmentation
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import Projection
from quickstudy.meta.outer.outer import Gradient
from quickstudy.options import hands_on
from quickstudy.recipes.options import FineTuneOptions


@remembered
@checked
@hands_on(FineTuneOptions, FineTune)
def ContrastivePretrain(
    embed: nn.Module,
    *,
    scale: float = 20.0,
    temperature: PositiveFloat = 0.2,
    batch_size: PositiveInt = 128,
    augmentation: Augmentation = Augmentation(),
    outer: Gradient | None = None,
    **options: Unpack[FineTuneOptions],
) -> FineTune:
    """`FineTune` whose outer method is `Contrastive(temperature, batch_size, augmentation)` under Adam. See `FineTune`."""
    outer = outer or Gradient(Contrastive(temperature, batch_size, augmentation))
    return FineTune(embed, Projection(), scale=scale, outer=outer, name="ContrastivePretrain", **options)
