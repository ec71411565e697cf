"""ChangePitch: the same words in a higher or a lower voice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.audio.augmentation.recordings import Between, Drawn, RecordingAugmentation, check_between, uniform
from quickstudy.domains.audio.augmentation.vocoder import stretched

TAPS = 16  # samples on each side from which one between them is read


@checked
@dataclass(frozen=True)
class ChangePitch(RecordingAugmentation):
    """Each recording p times as high at the same pace: made p times as long by a phase vocoder, then read p times as fast.

        p  =  2^(semitones / 12)

    Args:
        semitones: uniform between the two. The resonances of the mouth move as well: it is another speaker, not another tone.
        drawn: for each "example", or once for a "task".

    Raises:
        ArgumentError: semitones that are not in order.

    Examples:
        >>> x, y = torch.randn(40, 4000), torch.arange(40) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.ChangePitch(drawn="task")])
        >>> tasks.sample(2).support.x.shape
        torch.Size([2, 2, 4000])
    """

    semitones: Between = (-4.0, 4.0)
    drawn: Drawn = "example"  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_between("ChangePitch(semitones)", self.semitones)

    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        return uniform(self.semitones, (n,), generator)

    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        p = 2 ** (draws / 12)
        longer = stretched(x, 1 / p, math.ceil(x.shape[1] * max(1.0, float(p.max()))) + 1)
        return read_at(longer, p[:, None] * torch.arange(x.shape[1], dtype=x.dtype, device=x.device))


def read_at(x: Tensor, places: Tensor) -> Tensor:
    """x (n, samples) at places (n, m) between its samples, by a sinc in a Hann window; 0 outside."""
    first = places.floor().long()
    share = places - first
    around = F.pad(x, (TAPS, TAPS + 1))
    y = torch.zeros_like(places)
    for k in range(1 - TAPS, TAPS + 1):
        t = share - k
        weight = torch.sinc(t) * torch.cos(torch.pi * t / (2 * TAPS)).square()
        y = y + weight * around.gather(1, (first + k + TAPS).clamp(max=around.shape[1] - 1))
    return y
