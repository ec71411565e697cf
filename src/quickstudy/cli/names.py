"""The command line's names for the library's functions and classes. Options come from their signatures."""

from __future__ import annotations

from collections.abc import Callable

from quickstudy.registry import DEFAULT_NETWORK as DEFAULT_NETWORK
from quickstudy.registry import methods, networks, sources
from quickstudy.registry import named as named

LEARNERS: dict[str, Callable] = methods()
TASKS: dict[str, Callable] = sources()
NETWORKS: dict[str, Callable] = networks()
