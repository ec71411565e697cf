"""LogMel: what most networks hear of a recording."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeFloat, PositiveFloat, PositiveInt, checked
from quickstudy.domains.audio.encoders.mel import Scale, mel_filters
from quickstudy.errors import ArgumentError


@checked
class LogMel(nn.Module):
    """The logarithm of the power in bands of frequency, frame by frame. It has no parameters.

        X_t    =  Fourier transform of  hann * x  around the sample  t hop              zeros outside of x
        y_t    =  log( W |X_t|^2 + floor )                                              W: `mel_filters`

    Args:
        rate: samples a second of x.
        mels: bands.
        window, hop: seconds of a frame, and between two.
        low, high: Hz of the bands; high None: half of `rate`. Recordings that were made at 8 kHz have nothing above 4000.
        floor: of the power. At the loudness of `Waveform` 1e-6 is about 60 decibels below speech.
        scale: of the bands: "slaney", as librosa has it, or "htk".

    Raises:
        ArgumentError: a size of 0 or less; a band above half of `rate`, or none.

    Source: Davis & Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition", 1980, without
    the cosine transform.

    Examples:
        >>> from quickstudy.domains.audio.encoders import LogMel
        >>> LogMel()(torch.randn(2, 16000)).shape
        torch.Size([2, 40, 101])
    """

    hann: Tensor
    filters: Tensor

    def __init__(
        self,
        rate: PositiveInt = 16000,
        mels: PositiveInt = 40,
        window: PositiveFloat = 0.025,
        hop: PositiveFloat = 0.010,
        low: NonNegativeFloat = 20.0,
        high: PositiveFloat | None = None,
        floor: PositiveFloat = 1e-6,
        scale: Scale = "slaney",
    ):
        super().__init__()
        top = rate / 2 if high is None else high
        if not low < top <= rate / 2:
            expected = f"bands from `low` to `high`, at most {rate / 2:g} Hz: half of the rate"
            raise ArgumentError("low, high", expected=expected, got=f"{low:g} and {top:g}", do="Give for example high=4000.")
        self.rate, self.mels, self.window, self.hop = rate, mels, window, hop
        self.low, self.high, self.floor, self.scale = low, high, floor, scale
        self.size, self.step = max(1, round(rate * window)), max(1, round(rate * hop))
        self.register_buffer("hann", torch.hann_window(self.size), persistent=False)
        self.register_buffer("filters", mel_filters(rate, self.size, mels, low, top, scale), persistent=False)

    def frames(self, samples: int) -> int:
        """Frames of so many samples."""
        return 1 + samples // self.step

    def power(self, x: Tensor) -> Tensor:
        """Samples (..., samples) -> W |X|^2, (..., mels, frames)."""
        around = F.pad(x, (self.size // 2, self.size // 2))
        transform = torch.fft.rfft(around.unfold(-1, self.size, self.step) * self.hann)  # torch.stft has no vmap (torch 2.13)
        power = transform.real.square() + transform.imag.square()
        return (power @ self.filters.T).transpose(-1, -2)

    def forward(self, x: Tensor) -> Tensor:
        """(..., samples) -> (..., mels, frames)."""
        return torch.log(self.power(x) + self.floor)
