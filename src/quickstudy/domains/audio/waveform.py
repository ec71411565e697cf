"""Waveform: from a recording to what a learner was trained on. Stored with a run, so that predict does the same.

x  <-  x - mean x                                                       no constant offset
x  <-  x from the first to the last frame of 10 ms within 40 dB of the loudest                  trim
x  <-  its first `seconds`, at `rate`
x  <-  g x,     20 log10 rms(g x) = loudness,   or a smaller g with max |g x| = 1               loudness
x  <-  x, zeros behind it

The silence around a word and its gain tell speakers, and microphones, apart: a learner that hears them learns these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.domains.audio.recording import Recording, read_recording
from quickstudy.domains.audio.resample import resampled
from quickstudy.errors import ArgumentError, DataError, ShapeError
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing

FRAME, BELOW = 0.010, 40.0  # seconds; decibels
SILENT = 1e-6  # of full scale, a thirtieth of the smallest step of 16 bits: what is nowhere louder is silence
FULL = 32767  # of int16, as recordings are kept
SPEECH = -26.0  # decibels of full scale: the nominal level of active speech in ITU-T P.56 and G.191


@checked
@dataclass(frozen=True)
class Waveform(RecordedPreprocessing):
    """How a recording becomes a tensor (samples,), float32 in [-1, 1]: see the equations of `domains.audio.waveform`.

    Args:
        rate: samples a second.
        seconds: that are kept of a recording; a shorter one has zeros behind it.
        trim: leave out the silence at both ends.
        loudness: the root mean square of what is kept, before zeros, in decibels of full scale; None: as it was recorded.

    Raises:
        ArgumentError: a rate below 1; no second, or less than one sample of them; a loudness of 0 or more.

    Examples:
        >>> reads = qs.tasks.Waveform(rate=8000, seconds=0.5)
        >>> silence, tone = torch.zeros(4000), torch.sin(torch.arange(2000.0))
        >>> x = reads.of_samples(torch.cat([silence, 0.01 * tone]), rate=8000)
        >>> x.shape, round(float(x[:2000].square().mean().sqrt()), 3), float(x[2000:].abs().max())
        (torch.Size([4000]), 0.05, 0.0)
    """

    asked: ClassVar[tuple[str, ...]] = ("rate", "seconds")
    untrained: ClassVar[str] = "the log-mel frames"

    rate: PositiveInt = 16000
    seconds: PositiveFloat = 1.0
    trim: bool = True
    loudness: float | None = SPEECH

    def __post_init__(self) -> None:
        if self.samples < 1:
            got = f"{self.seconds:g} at {self.rate} Hz"
            raise ArgumentError("seconds", expected="those of one sample or more", got=got, do="1.0 is common for words.")
        if self.loudness is not None and self.loudness >= 0:
            do = f"{SPEECH:g} is common for speech."
            raise ArgumentError("loudness", expected="decibels below full scale, under 0", got=f"{self.loudness:g}", do=do)

    @property
    def samples(self) -> int:
        """Of an example."""
        return round(self.rate * self.seconds)

    def read(self, path: str | Path) -> Tensor:
        """The recording of a file, (samples,).

        Raises:
            MissingPackageError, DataError: see `read_recording`; silence, which has no loudness.
        """
        return self.kept(read_recording(path, self.seconds), str(path))[0]

    def of_samples(self, samples: Tensor, rate: PositiveInt, where: str = "samples") -> Tensor:
        """The same for floats (samples,) in memory, recorded at `rate` Hz."""
        return self.kept(Recording(samples, rate, len(samples) / rate), where)[0]

    def kept(self, recording: Recording, where: str) -> tuple[Tensor, float]:
        """What is kept of a recording, and the seconds that it has without the silence at its ends, as far as it was read.

        Raises:
            DataError: silence, or samples above full scale, where their loudness is not to be changed.
        """
        rate, x = recording.rate, recording.samples - recording.samples.mean()
        silent = float(x.abs().max()) < SILENT
        if silent and self.loudness is not None:
            raise DataError(where, expected="a recording of something", got="silence", do="Leave it out.")
        if self.trim and not silent:
            x = trimmed(x, rate)
        seconds = len(x) / rate
        x = resampled(x[: math.ceil(self.seconds * rate)], rate, self.rate)[: self.samples]
        if self.loudness is not None:
            gain = 10 ** (self.loudness / 20) / x.square().mean().sqrt()
            x = x * gain.minimum(1 / x.abs().max())
        elif (most := float(x.abs().max())) > 1:
            do = "Divide by the largest, or have the loudness changed."
            raise DataError(where, expected="samples in [-1, 1] of full scale", got=f"one of {most:g}", do=do)
        return F.pad(x, (0, self.samples - len(x))), seconds

    def plain_features(self) -> nn.Module:
        """The log-mel frames, one behind the other."""
        from quickstudy.domains.audio.encoders import LogMel

        return nn.Sequential(LogMel(rate=self.rate), nn.Flatten())

    def apply(self, x: Tensor) -> Tensor:
        """Samples (..., samples), floats or of 16 bits, as a learner sees them.

        Raises:
            ShapeError: another number of samples.
        """
        if x.shape[-1] != self.samples:
            raise ShapeError(
                "x",
                expected=f"recordings of {self.samples} samples: {self.seconds:g} seconds at {self.rate} Hz",
                got=str(tuple(x.shape)),
                do="Bring recordings into it with `read`, or `of_samples`.",
            )
        return x.to(torch.float32) / FULL if x.dtype == torch.int16 else x.to(torch.float32)


def in_16_bits(x: Tensor) -> Tensor:
    """Samples in [-1, 1] as int16, which are kept in half the memory."""
    return (x.clamp(-1, 1) * FULL).round().to(torch.int16)


def lengths(x: Tensor) -> Tensor:
    """Samples of recordings (..., samples) without the zeros behind them: (...,).

    Examples:
        >>> from quickstudy.domains.audio.waveform import lengths
        >>> lengths(torch.tensor([[0.1, 0.0, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0]]))
        tensor([3, 0])
    """
    return ((x != 0) * torch.arange(1, x.shape[-1] + 1, device=x.device)).amax(-1)


def trimmed(x: Tensor, rate: int) -> Tensor:
    """x (samples,) without the silence at its ends: frames more than `BELOW` decibels under the loudest.

    Examples:
        >>> from quickstudy.domains.audio.waveform import trimmed
        >>> trimmed(torch.cat([torch.zeros(800), torch.randn(1600), torch.zeros(2400)]), rate=8000).shape
        torch.Size([1600])
    """
    frame = max(1, round(FRAME * rate))
    power = F.pad(x, (0, -len(x) % frame)).view(-1, frame).square().mean(1)
    loud = (power > power.max() * 10 ** (-BELOW / 10)).nonzero()[:, 0]
    return x[int(loud[0]) * frame : (int(loud[-1]) + 1) * frame]
