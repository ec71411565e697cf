"""What a run will take, from its first steps.

    seconds  =  steps left * mean time of a measured step  +  validations left * time of one

The range is that of the fastest and the slowest measured step. The first step, which warms caches and allocates, is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quickstudy.arguments import checked
from quickstudy.evaluation.peak_memory import peak_mb
from quickstudy.progress import clock

MEASURED = 6  # first steps
WORTH_TELLING = 30.0  # seconds


@checked
@dataclass(frozen=True)
class Estimate:
    """What the rest of a run will take.

    Attributes:
        seconds: wall time.
        low, high: the same if all steps were as the fastest, or as the slowest, of those that were measured.
        memory_mb: the peak of this process so far, in MB, with a whole step in it: allocated on the GPU with CUDA, else resident;
            None if the system does not report it.
        steps: the number of measured steps.
        limited: whether it is the limit of wall time that ends the run.

    Examples:
        >>> from quickstudy.meta.loop.estimate import Estimate
        >>> print(Estimate(seconds=90.0, low=80.0, high=120.0, memory_mb=512.0, steps=5))
        about 1:30 to go (1:20 to 2:00, by the fastest and the slowest of 5 steps); memory so far 512 MB
    """

    seconds: float
    low: float
    high: float
    memory_mb: float | None
    steps: int
    limited: bool = False

    def __str__(self) -> str:
        measured = f"{clock(self.low)} to {clock(self.high)}, by the fastest and the slowest of {self.steps} steps"
        span = ", when `seconds` ends it" if self.limited else f" ({measured})"
        memory = "" if self.memory_mb is None else f"; memory so far {self.memory_mb:.0f} MB"
        return f"about {clock(self.seconds)} to go{span}{memory}"


def estimate(times: Sequence[float], steps: int, validation: float, validations: int, limit: float | None = None) -> Estimate:
    """The estimate.

    Args:
        times: seconds of the first steps.
        steps: how many are left.
        validation: seconds of one validation.
        validations: how many are left.
        limit: seconds after which the run stops; it then validates once more.
    """
    counted = times[1:] or times
    each = validation * validations
    seconds, low, high = (steps * one + each for one in (sum(counted) / len(counted), min(counted), max(counted)))
    limited = limit is not None and limit + validation < low
    if limit is not None:
        seconds, low, high = (min(one, limit + validation) for one in (seconds, low, high))
    return Estimate(seconds, low, high, peak_mb(), len(counted), limited)
