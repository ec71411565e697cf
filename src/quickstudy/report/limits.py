"""Robust limits of an axis: values far off, as of a run that diverges, must not flatten all the others.

    low   =  the best of all values                             (where less is better; else all is mirrored)
    high  =  the 98 % quantile of the values that count: those up to a curve's best, or a `share` of all, the best ones
    cut   if any value  >  low + times (high - low),  or one is not finite

Values beyond the limits are marked at the edge of the plot, and counted in its legend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from quickstudy.report.style import INK, PAPER

EARLY = 20  # a best within the first 1/20 of a curve is no end of a fall: then a share of all values counts
MARKS = 60  # at the edge, at most


@dataclass(frozen=True)
class Limits:
    """An axis from `low` to `high`, the indices of the values beyond, and the worst of those that are finite.

    `edge` is the end at which those are marked: `high`, or `low` where more is better.
    """

    low: float
    high: float
    edge: float
    beyond: tuple[int, ...]
    of: int
    worst: float

    @property
    def said(self) -> str:
        """17 of 500 lie beyond the plot, up to 1.2e+06."""
        reach = f", up to {self.worst:.3g}" if math.isfinite(self.worst) else ", not finite"
        return f"{len(self.beyond)} of {self.of} lie beyond the plot{reach}"


def limits(
    values: Sequence[float], *, until: int | None = None, share: float = 0.75, times: float = 3.0, less_is_better: bool = True
) -> Limits | None:
    """The limits for these values; None where all of them fit.

    Args:
        until: the index of the best value of a curve.
        share: of the values that count, where there is no such index.
        times: how much longer than the part that counts the axis may be.
    """
    sign = 1.0 if less_is_better else -1.0
    mirrored = [sign * value for value in values]
    finite = sorted(value for value in mirrored if math.isfinite(value))
    if not finite:
        return None
    known = finite[: math.ceil(share * len(finite))]
    if until is not None and until * EARLY >= len(values):
        known = sorted(value for value in mirrored[: until + 1] if math.isfinite(value)) or known
    low, high = finite[0], known[math.ceil(0.98 * len(known)) - 1]
    span = high - low or max(abs(low), 1e-12)
    if len(finite) == len(values) and finite[-1] <= low + times * span:
        return None
    bottom, top = low - 0.06 * span, high + 0.3 * span
    beyond = tuple(index for index, value in enumerate(mirrored) if not value <= top)
    if not beyond:
        return None
    worst = max((mirrored[index] for index in beyond if math.isfinite(mirrored[index])), default=math.inf)
    ends = sorted((sign * bottom, sign * top))
    return Limits(ends[0], ends[1], sign * top, beyond, len(values), sign * worst)


def apply(axes: Axes, found: Limits | None, at: Sequence[float]) -> None:
    """Set the limits of the y axis, and mark what is beyond, at these places x."""
    if found is None:
        return
    axes.set_ylim(found.low, found.high)
    every = math.ceil(len(found.beyond) / MARKS)
    x = [at[index] for index in found.beyond[::every]]
    marker = "^" if found.edge == found.high else "v"
    axes.plot(
        x,
        [found.edge] * len(x),
        linestyle="none",
        marker=marker,
        markersize=7,
        color=INK,
        markeredgecolor=PAPER,
        clip_on=False,
        zorder=6,
        label=f"beyond ({len(found.beyond)})",
    )
