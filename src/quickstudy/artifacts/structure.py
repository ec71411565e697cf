"""The structure of a learned state as plain JSON, so that a file of it names no class to look up.

    {"prototypes": tensor}  ->  {"dict": {"prototypes": 0}}        a number is a tensor's index among the leaves

A state consists of tensors, dicts with text as keys, lists, tuples, and states of other learners.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from quickstudy.errors import UnsupportedError
from quickstudy.learners.outcome import State


def flattened(value: Any, leaves: list[Tensor], where: str = "state") -> Any:
    """Return the structure of `value` and append its tensors to `leaves`.

    Raises:
        UnsupportedError: something that is neither a tensor nor one of these containers.
    """
    if isinstance(value, Tensor):
        leaves.append(value)
        return len(leaves) - 1
    if isinstance(value, State):
        return {"state": [flattened(value.values, leaves, where), flattened(value.statistics, leaves, where)]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: flattened(one, leaves, f"{where}[{key!r}]") for key, one in value.items()}}
    if type(value) in (list, tuple):
        return {type(value).__name__: [flattened(one, leaves, f"{where}[{i}]") for i, one in enumerate(value)]}
    raise UnsupportedError(
        f"{where}",
        expected="tensors in dicts with text as keys, lists and tuples, which a file can hold",
        got=f"a {type(value).__name__}",
        do="Let `learn` return those alone.",
    )


def rebuilt(structure: Any, leaves: list[Tensor]) -> Any:
    """Rebuild a value from its structure and leaves: the inverse of `flattened`.

    Raises:
        ValueError: not a structure that `flattened` returns.
    """
    if type(structure) is int and 0 <= structure < len(leaves):
        return leaves[structure]
    if isinstance(structure, dict) and len(structure) == 1:
        ((kind, parts),) = structure.items()
        if kind == "dict" and isinstance(parts, dict):
            return {key: rebuilt(one, leaves) for key, one in parts.items()}
        if kind in ("list", "tuple", "state") and isinstance(parts, list):
            made = [rebuilt(one, leaves) for one in parts]
            if kind == "state" and len(made) == 2 and isinstance(made[1], dict):
                return State(*made)
            if kind != "state":
                return made if kind == "list" else tuple(made)
    raise ValueError(f"{structure!r}"[:100])
