"""The type of a check, and helpers of several checks: float64 copies, scaled inputs, the gap between two predictions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.episode import Episode, Examples
from quickstudy.errors import restored
from quickstudy.learners.learner import Learner

TOLERANCE = 1e-7  # relative, in float64: rounding after a few inner steps
SLOPE_TOLERANCE = 1e-4  # relative, of a finite difference

Check = Callable[[Learner, Episode], None]


class ConformanceError(AssertionError):
    """A learner fails a check. `check` is its name."""

    def __init__(self, check: str, learner: Learner, found: str, do: str):
        self.check = check
        super().__init__(f"{type(learner).__name__} fails the check `{check}`: {found}. {do}")

    def __reduce__(self) -> tuple[Any, ...]:
        """An error comes back from another process as it was raised there."""
        return restored, (type(self), self.args, self.__dict__)


def double(learner: Learner, episode: Episode) -> tuple[Learner, Episode]:
    """Copies in float64."""
    return copy.deepcopy(learner).double(), episode.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf)


def rows(examples: Examples, index: Any) -> Examples:
    """A selection of the examples, or all of them in another order."""
    return examples.map(lambda leaf: leaf[index])


def scaled(examples: Examples, factor: float) -> Examples:
    """The same examples with inputs multiplied by `factor`."""
    x = pytree.tree_map(lambda leaf: leaf * factor if leaf.is_floating_point() else leaf, examples.x)
    return examples.like(x, examples.y)


def difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, relative to b's largest entry; infinite if the shapes or the places of NaN differ."""
    if a.shape != b.shape or not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    if not a.numel():
        return 0.0
    return float((a - b).nan_to_num().abs().max()) / max(float(b.nan_to_num().abs().max()), 1e-12)


def agree(check: str, learner: Learner, one: Tensor, other: Tensor, found: str, do: str, tolerance: float = TOLERANCE) -> None:
    """Raise if two predictions differ by more than `tolerance`; the error says `found` and the difference."""
    gap = difference(one, other)
    if gap > tolerance:
        raise ConformanceError(check, learner, f"{found} {gap:.1e}", do)


def meta_learns(learner: Learner) -> bool:
    """Whether the learner has a meta-gradient to check."""
    return learner.meta_learns and any(parameter.requires_grad for parameter in learner.parameters())
