"""The learner of pairs, with an episode that it can learn; see tests/checks/learners.py."""

from __future__ import annotations

import torch
from tests.checks.learners import FEATURES, Case, case

import quickstudy as qs
from quickstudy.learners.solve import Alignment
from quickstudy.targets import Pairs


def pairs() -> qs.Episode:
    """Points, and the same points turned about and shifted."""
    turned = lambda x: qs.Examples(x, x.roll(1, 1) + 2, target=Pairs())
    return qs.Episode(turned(torch.randn(4, FEATURES)), turned(torch.randn(5, FEATURES)))


CASES: dict[str, Case] = {
    "Alignment": case(lambda: Alignment(penalty=0.5), pairs),
    "Alignment, a network": case(lambda: Alignment(qs.models.mlp(FEATURES, FEATURES, hidden=(4,))), pairs),
}
