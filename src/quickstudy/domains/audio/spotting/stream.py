"""Streams: long recordings made of short ones, whose places are known.

stream   =  recordings in random order, each once before any comes again, with pauses between them   +   noise
noise    =  white noise of a level that is drawn anew every `section` seconds;  a share `silent` of the sections has none
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, Probability, checked
from quickstudy.domains.audio.waveform import FULL, lengths
from quickstudy.errors import ArgumentError, ShapeError

OTHER = -1  # the label of what is none of the words


@dataclass(frozen=True)
class Stream:
    """A long recording.

    Args:
        samples: float32 (samples,).
        rate: of them a second.
        begins, ends: seconds of each recording in it, (recordings,).
        labels: of each, (recordings,); `OTHER` for what is none of the words.
    """

    samples: Tensor
    rate: int
    begins: Tensor
    ends: Tensor
    labels: Tensor

    @property
    def hours(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate / 3600


@checked
def make_stream(
    x: Tensor,
    labels: Tensor,
    *,
    seconds: PositiveFloat,
    rate: PositiveInt = 16000,
    pauses: tuple[float, float] = (0.3, 3.0),
    noise: tuple[float, float] = (-70.0, -45.0),
    silent: Probability = 0.2,
    section: PositiveFloat = 30.0,
    generator: torch.Generator | None = None,
) -> Stream:
    """A stream of these recordings.

    Args:
        x: recordings (N, samples), float or int16, zeros behind their ends alone.
        labels: of each, (N,): 0, 1, ... for the words to be spotted, `OTHER` for what is none of them.
        seconds: length of the stream.
        rate: samples a second.
        pauses: seconds of the shortest and of the longest pause.
        noise: its lowest and highest level, in decibels of full scale. Speech is at -26, see `Waveform`.
        silent: the share of sections without noise.
        section: seconds of one level.
        generator: of order, pauses and noise.

    Raises:
        ShapeError: another number of labels than of recordings.
        ArgumentError: pauses or noise that are no range; a stream too short for a recording.

    Examples:
        >>> from quickstudy.domains.audio.spotting import make_stream
        >>> stream = make_stream(torch.randn(4, 800), torch.tensor([0, 1, -1, -1]), seconds=10.0, rate=1000)
        >>> stream.samples.shape, len(stream.labels) == len(stream.begins)
        (torch.Size([10000]), True)
    """
    _check(x, labels, seconds, rate, pauses, noise)
    sizes = torch.cat([lengths(part) for part in x.split(512)])
    samples, at = torch.zeros(round(seconds * rate)), 0
    begins, ends, rows = list[int](), list[int](), list[int]()
    while True:
        for row in torch.randperm(len(x), generator=generator).tolist():
            low, high = pauses
            at += round((low + (high - low) * float(torch.rand((), generator=generator))) * rate)
            size = int(sizes[row])
            if at + size > len(samples):
                whole = samples + _noise(len(samples), rate, noise, silent, section, generator)
                begin, end = (torch.tensor(place, dtype=torch.float64) / rate for place in (begins, ends))
                return Stream(whole.clamp(-1, 1), rate, begin, end, labels[torch.tensor(rows, dtype=torch.int64)])
            samples[at : at + size] = x[row, :size].float() / (FULL if x.dtype == torch.int16 else 1)
            begins, ends, rows = [*begins, at], [*ends, at + size], [*rows, row]
            at += size


def _noise(
    size: int, rate: int, levels: tuple[float, float], silent: float, section: float, generator: torch.Generator | None
) -> Tensor:
    parts = []
    for part in torch.zeros(size).split(round(section * rate)):
        level, chance = torch.rand(2, generator=generator).tolist()
        gain = 0.0 if chance < silent else 10 ** ((levels[0] + (levels[1] - levels[0]) * level) / 20)
        parts.append(gain * torch.randn(len(part), generator=generator))
    return torch.cat(parts)


def _check(x: Tensor, labels: Tensor, seconds: float, rate: int, pauses: tuple[float, float], noise: tuple[float, float]) -> None:
    if x.ndim != 2 or labels.shape != x.shape[:1] or not len(x):
        raise ShapeError(
            "x, labels",
            expected="recordings (N, samples) and a label for each",
            got=f"{tuple(x.shape)} and {tuple(labels.shape)}",
            do="Give -1 to what is none of the words.",
        )
    for name, (low, high), least in (("pauses", pauses, 0.0), ("noise", noise, -torch.inf)):
        if not least <= low <= high:
            raise ArgumentError(name, expected="a range (low, high)", got=f"{(low, high)}", do="Give the lower one first.")
    if seconds < pauses[1] + x.shape[1] / rate:
        expected = f"room for a pause and a recording, {pauses[1] + x.shape[1] / rate:g} s"
        raise ArgumentError("seconds", expected=expected, got=f"{seconds:g}", do="3600 are an hour.")
