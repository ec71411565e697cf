"""The command line's names for the library's functions and classes. Options come from their signatures."""

from __future__ import annotations

from collections.abc import Callable

import quickstudy as qs
from quickstudy.registry import METHODS, sources
from quickstudy.registry import named as named

LEARNERS: dict[str, Callable] = {method.command: method.load() for method in METHODS if method.command}
TASKS: dict[str, Callable] = sources()
NETWORKS: dict[str, Callable] = {
    "conv4": qs.models.conv4,
    "resnet12": qs.models.resnet12,
    "mlp": qs.models.mlp,
    "context_conv4": qs.models.ContextConv4,
}
DEFAULT_NETWORK = {"sinusoid": "mlp", "gaussian_process": "mlp"}  # otherwise conv4
