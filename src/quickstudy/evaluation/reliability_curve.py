"""Reliability: does a learner that says 80 % get 80 % right? The bins of a reliability diagram, and their summary.

    c_i = max_k p_ik,    a_i = [argmax_k p_ik = y_i],        ECE  =  sum_b  n_b/n  | mean_{i in b} a_i  -  mean_{i in b} c_i |

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 2-3. Bins of equal mass: Nixon et al., "Measuring
Calibration in Deep Learning", 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, Probability, checked
from quickstudy.errors import ArgumentError, ShapeError
from quickstudy.records import record


@dataclass(frozen=True)
class Bin:
    """One bar of the diagram: `count` examples with a confidence in (low, high]."""

    low: Probability
    high: Probability
    confidence: Probability
    accuracy: Probability
    count: PositiveInt


@checked
@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: the bins that hold an example, from the least confident to the most.

    Raises:
        ArgumentError: no bin.

    Examples:
        >>> probabilities, y = torch.tensor([[0.75, 0.25]]).repeat(4, 1), torch.tensor([0, 0, 0, 1])
        >>> qs.evaluation.reliability(probabilities, y).ece
        0.0
        >>> qs.evaluation.reliability(probabilities, 1 - y).ece
        0.5
    """

    bins: tuple[Bin, ...]

    def __post_init__(self) -> None:
        if not self.bins:
            raise ArgumentError("bins", expected="one or more", got="none", do="quickstudy.evaluation.reliability makes them.")

    @property
    def ece(self) -> float:
        """The expected calibration error, in [0, 1]."""
        total = sum(one.count for one in self.bins)
        return sum(one.count * abs(one.accuracy - one.confidence) for one in self.bins) / total

    def to_dict(self) -> dict[str, Any]:
        """As a dict for JSON."""
        return {"ece": self.ece, "bins": [asdict(one) for one in self.bins]}

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            RecordError: see `quickstudy.records.record`.
        """
        return cls(record(_Written, spec).bins)


@dataclass(frozen=True)
class _Written:
    """What `to_dict` returns."""

    bins: tuple[Bin, ...]
    ece: Probability


@checked
def reliability(probabilities: Tensor, y: Tensor, bins: int = 15, *, equal: Literal["width", "mass"] = "width") -> Reliability:
    """The reliability diagram of probabilities (examples, ways) against labels y (examples,).

    Args:
        bins: number of bins.
        equal: bins of equal "width" in confidence, or of equal "mass": as many examples in each.

    Raises:
        ArgumentError: `bins` is below 1; `equal` is neither of the two.
        ShapeError: there are no examples, or not one label for each row.
    """
    if bins < 1:
        raise ArgumentError("bins", expected="1 or more", got=str(bins), do="15 are the field's habit.")
    if equal not in ("width", "mass"):
        raise ArgumentError("equal", expected="'width' or 'mass'", got=repr(equal), do="'width' is the field's habit.")
    if probabilities.ndim != 2 or probabilities.shape[:1] != y.shape or not len(y):
        raise ShapeError(
            "reliability(probabilities, y)",
            expected="probabilities (examples, ways) and labels (examples,), with at least one example",
            got=f"{tuple(probabilities.shape)} and {tuple(y.shape)}",
            do="Give one row of probabilities for each label.",
        )
    confidence, answer = probabilities.double().max(1)
    confidence, order = confidence.clamp(max=1.0).sort()
    right = (answer == y)[order].double()
    if equal == "mass":
        parts = [part for part in torch.arange(len(y)).tensor_split(bins) if len(part)]
        edges = [0.0, *(float(confidence[part[-1]]) for part in parts)]
    else:
        edges = [b / bins for b in range(bins + 1)]
        place = torch.searchsorted(torch.tensor(edges[1:], dtype=torch.float64), confidence).clamp(max=bins - 1)
        parts = [(place == b).nonzero().flatten() for b in range(bins)]
    return Reliability(
        tuple(
            Bin(edges[b], edges[b + 1], float(confidence[part].mean()), float(right[part].mean()), len(part))
            for b, part in enumerate(parts)
            if len(part)
        )
    )
