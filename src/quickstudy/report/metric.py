"""Metric: how a score is written and which of two is better, for accuracy in [0, 1] and for mean squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """The metric of an evaluation: its `name` is "accuracy" or "mse"."""

    name: str

    @property
    def higher_is_better(self) -> bool:
        """True of accuracy."""
        return self.name == "accuracy"

    @property
    def label(self) -> str:
        """What an axis calls it."""
        return "accuracy (%)" if self.higher_is_better else "mean squared error"

    def axis(self, value: float) -> float:
        """The value as an axis shows it: accuracies in per cent."""
        return 100 * value if self.higher_is_better else value

    def text(self, mean: float, ci95: float | None = None) -> str:
        """87.31 ± 0.62 %, or 0.0831 ± 0.0042."""
        if self.higher_is_better:
            return f"{100 * mean:.2f} %" if ci95 is None else f"{100 * mean:.2f} ± {100 * ci95:.2f} %"
        return f"{mean:.4g}" if ci95 is None else f"{mean:.4g} ± {ci95:.2g}"

    def gain(self, first: float, other: float) -> float:
        """By how much `first` is better than `other`: positive where it is."""
        return first - other if self.higher_is_better else other - first

    def chance(self, protocol: dict[str, Any]) -> float | None:
        """The accuracy of a guess, 1 / ways; None where there is none."""
        ways = protocol.get("ways")
        return 1 / ways if self.higher_is_better and isinstance(ways, int) else None
