"""The candidates: a network, the heads by whose losses it is trained, and its share of the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from quickstudy.models.conv4 import Conv4
from quickstudy.models.resnet12 import ResNet12

ALL = ("prototypes", "ridge", "logistic")


@dataclass(frozen=True)
class Candidate:
    """One way to make the learner.

    Attributes:
        network: makes the embedding.
        heads: those whose losses are added.
        share: of the time of all candidates.
        tasks, ways: of a meta-step.
    """

    network: Callable[[], nn.Module]
    heads: tuple[str, ...]
    share: float
    tasks: int
    ways: int


CANDIDATES = {
    "conv64": Candidate(partial(Conv4, channels=64), ("prototypes",), 0.15, 16, 40),
    "conv64_all": Candidate(partial(Conv4, channels=64), ALL, 0.15, 32, 16),
    "conv128": Candidate(partial(Conv4, channels=128), ("prototypes",), 0.2, 16, 40),
    "conv128_all": Candidate(partial(Conv4, channels=128), ALL, 0.25, 32, 16),
    "resnet": Candidate(partial(ResNet12, channels=(32, 48, 80, 96), in_channels=1, dropout=0.0), ("prototypes",), 0.2, 16, 40),
    "resnet_all": Candidate(partial(ResNet12, channels=(32, 48, 80, 96), in_channels=1, dropout=0.0), ALL, 0.2, 32, 16),
}
