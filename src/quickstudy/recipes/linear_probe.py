"""Linear probe: a classifier of all meta-training classes, whose frozen embedding carries a logistic regression on the new task.

    phi*  =  argmin_phi  E_{x, y ~ all meta-training data} [ CE( s cos(f_phi(x), v_y) ) ],      then `Probe` on the support

Source: Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?", ECCV 2020.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from quickstudy.forward.context import Normalisation
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.learners.transfer.probe import Probe
from quickstudy.meta.estimators.pretraining import Supervised
from quickstudy.meta.outer.outer import Gradient


def LinearProbe(
    embed: nn.Module,
    *,
    strength: float = 1.0,
    scale: float = 20.0,
    batch_size: int = 128,
    normalisation: Normalisation = "running",
    outer: Gradient | None = None,
    **more: Any,
) -> Probe:
    """`Probe` whose outer method is `Supervised(batch_size)` under Adam. `more` is any further argument of `Probe`."""
    return Probe(
        embed,
        CosineClassifier(scale),
        strength=strength,
        normalisation=normalisation,
        outer=outer or Gradient(Supervised(batch_size)),
        **{"name": "LinearProbe", **more},
    )
