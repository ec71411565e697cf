"""Pre-train without labels (SimCLR) and fine-tune: what the images alone can teach.

    phi*  =  argmin_phi  E_{images} [ NT-Xent( h_phi(f_phi(x')), h_phi(f_phi(x'')) ) ],         then `FineTune` on the support

Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from quickstudy.domains.images.contrastive import Contrastive
from quickstudy.domains.images.views import Augmentation
from quickstudy.forward.context import Normalisation
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import Projection
from quickstudy.meta.outer.outer import Gradient


def ContrastivePretrain(
    embed: nn.Module,
    *,
    inner_lr: float = 5e-5,
    inner_steps: int = 5,
    adapts: str | Sequence[str] = "*",
    temperature: float = 0.2,
    batch_size: int = 128,
    augmentation: Augmentation = Augmentation(),
    normalisation: Normalisation = "running",
    outer: Gradient | None = None,
    **more: Any,
) -> FineTune:
    """`FineTune` whose outer method is `Contrastive` under Adam. `more` is any further argument of `FineTune`."""
    return FineTune(
        embed,
        Projection(),
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        adapts=adapts,
        normalisation=normalisation,
        outer=outer or Gradient(Contrastive(temperature, batch_size, augmentation)),
        **{"name": "ContrastivePretrain", **more},
    )
