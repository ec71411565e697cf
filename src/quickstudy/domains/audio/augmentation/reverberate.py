"""Reverberate: the same recordings in a room."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.audio.augmentation.recordings import (
    Between,
    Drawn,
    RecordingAugmentation,
    as_loud,
    check_between,
    uniform,
)
from quickstudy.errors import ArgumentError

DECAY = 6.908  # log 1000: 60 decibels


@checked
@dataclass(frozen=True)
class Reverberate(RecordingAugmentation):
    """x and its echoes, as a room of noise gives them back: 60 decibels less after some seconds.

        y  =  x + w (h * x),     h[t] ~ N(0, 1) exp(-DECAY t / seconds),  of the power of 1;     then as loud as before

    Args:
        seconds: of the echo, uniform between the two.
        wet: w, uniform between the two.
        rate: samples a second of x.
        drawn: for each "example", or once for a "task".

    Raises:
        ArgumentError: numbers that are not in order, or below 0.

    Source: Polack, "La transmission de l'énergie sonore dans les salles", 1988, for noise that decays as a model of echoes.

    Examples:
        >>> x, y = torch.randn(40, 4000), torch.arange(40) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.Reverberate(drawn="task")])
        >>> tasks.sample(2).support.x.shape
        torch.Size([2, 2, 4000])
    """

    seconds: Between = (0.1, 0.6)
    wet: Between = (0.0, 0.7)
    rate: PositiveInt = 16000
    drawn: Drawn = "example"  # type: ignore[misc]

    def __post_init__(self) -> None:
        check_between("Reverberate(seconds)", self.seconds, 0.0)
        check_between("Reverberate(wet)", self.wet)
        if self.wet[0] < 0:
            raise ArgumentError("Reverberate(wet)", expected="numbers of 0 or more", got=str(self.wet), do="0 is no echo.")

    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        """w h, (n, samples)."""
        seconds, wet = uniform(self.seconds, (n, 1), generator), uniform(self.wet, (n, 1), generator)
        h = torch.randn(n, samples, generator=generator) * torch.exp(-DECAY * torch.arange(samples) / (self.rate * seconds))
        return wet * h / h.square().sum(1, keepdim=True).sqrt()

    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        size = 2 * x.shape[1]
        echo = torch.fft.irfft(torch.fft.rfft(x, size) * torch.fft.rfft(draws, size), size)[:, : x.shape[1]]
        return as_loud(x + echo, x)
