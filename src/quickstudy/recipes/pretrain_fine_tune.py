"""Pre-train and fine-tune: a classifier of all meta-training classes, whose embedding is then fine-tuned on the new task.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ CE( s cos(f_phi(x), v_y) ) ],      then `FineTune` on the support

Cosines in both stages (Baseline++), so that the class means that the support imprints are weights of the kind that was trained.

Source: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019; Dhillon et al., "A Baseline for Few-Shot
Image Classification", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from quickstudy.forward.context import Normalisation
from quickstudy.learners.transfer.fine_tune import FineTune
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.meta.outer.outer import Gradient


def PretrainFineTune(
    embed: nn.Module,
    *,
    inner_lr: float = 5e-5,
    inner_steps: int = 5,
    adapts: str | Sequence[str] = "*",
    scale: float = 20.0,
    batch_size: int = 128,
    normalisation: Normalisation = "running",
    outer: Gradient | None = None,
    **more: Any,
) -> FineTune:
    """`FineTune` whose outer method is `Supervised(batch_size)` under Adam. `more` is any further argument of `FineTune`."""
    return FineTune(
        embed,
        CosineClassifier(scale),
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        adapts=adapts,
        scale=scale,
        normalisation=normalisation,
        outer=outer or Gradient(Supervised(batch_size)),
        **{"name": "PretrainFineTune", **more},
    )
