"""AddNoise: the same recordings in noise of some colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.domains.audio.augmentation.recordings import (
    Between,
    Drawn,
    RecordingAugmentation,
    as_loud,
    check_between,
    uniform,
)
from quickstudy.domains.audio.waveform import lengths


@checked
@dataclass(frozen=True)
class AddNoise(RecordingAugmentation):
    """x + noise whose power falls as 1 / f^colour, some decibels below that of x; then as loud as before. It ends where x ends.

    Args:
        decibels: of x above the noise, uniform between the two.
        colour: uniform between the two: 0 is white, 1 pink, 2 brown.
        drawn: for each "example", or once for a "task".

    Raises:
        ArgumentError: numbers that are not in order.

    Examples:
        >>> x, y = torch.randn(40, 4000), torch.arange(40) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.AddNoise()])
        >>> tasks.sample(2).support.x.shape
        torch.Size([2, 2, 4000])
    """

    decibels: Between = (5.0, 30.0)
    colour: Between = (0.0, 2.0)
    drawn: Drawn = "example"  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_between("AddNoise(decibels)", self.decibels)
        check_between("AddNoise(colour)", self.colour)

    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        """Noise of its power below 1, (n, samples)."""
        decibels, colour = uniform(self.decibels, (n, 1), generator), uniform(self.colour, (n, 1), generator)
        white = torch.fft.rfft(torch.randn(n, samples, generator=generator))
        f = torch.arange(white.shape[1]).clamp(min=1)
        noise = torch.fft.irfft(white * f ** (-colour / 2), samples)
        return noise / noise.square().mean(1, keepdim=True).sqrt() * 10 ** (-decibels / 20)

    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        places = torch.arange(1, x.shape[1] + 1, device=x.device)
        length = lengths(x)[:, None]  # the zeros behind a recording are none of it
        power = x.square().sum(1, keepdim=True) / length.clamp(min=1)
        return as_loud(x + draws * power.sqrt() * (places <= length), x)
