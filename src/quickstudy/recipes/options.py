"""The arguments that recipes pass on to their learner; see `quickstudy.options`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from quickstudy.arguments import NonNegativeFloat
from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.rule import InnerRule
from quickstudy.learners.learner import Loss
from quickstudy.meta.outer.outer import Gradient


class StepOptions(TypedDict, total=False):
    """Options of an inner step; see `Descent`."""

    loss: Loss | None
    normalisation: Normalisation
    rule: InnerRule
    clip: float | None


class InnerLoopOptions(StepOptions, total=False):
    """Options of the inner and the outer loop; see `Descent`."""

    step_weights: Sequence[NonNegativeFloat] | None
    norms_per_step: bool
    annealing: Annealing | None
    outer: Gradient | None


class DescentOptions(InnerLoopOptions, total=False):
    """Options of a descent, including which parameters adapt; see `Descent`."""

    adapts: str | Sequence[str]


class FineTuneOptions(TypedDict, total=False):
    """See `FineTune`."""

    inner_lr: float
    inner_steps: int
    adapts: str | Sequence[str]
    rule: InnerRule
    normalisation: Normalisation


class ProbeOptions(TypedDict, total=False):
    """See `Probe`."""

    penalty: float
    newton_steps: int
    normalisation: Normalisation


class CosineProbeOptions(TypedDict, total=False):
    """See `CosineProbe`."""

    inner_lr: float
    inner_steps: int
    rule: InnerRule
    normalisation: Normalisation
