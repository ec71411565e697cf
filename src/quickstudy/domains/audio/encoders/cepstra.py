"""Cepstra: the shape of the spectrum, without the channel, the pitch and the pace."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.audio.encoders.log_mel import LogMel
from quickstudy.domains.audio.waveform import lengths
from quickstudy.errors import ArgumentError

HEARD = 1e-4  # of the loudest frame's power: 40 decibels below it


@checked
class Cepstra(nn.Module):
    """Cosine transforms of log-mel frames, less their mean over the recording, in as many parts as asked for. No parameters.

        c_t  =  D log( W |X_t|^2 + floor )          D (coefficients, mels): the cosines 1 .. coefficients, without the level
        c_t  <- h_t ( c_t - sum_s h_s c_s / sum_s h_s )          h_t: 1 for frames within 40 decibels of the loudest, else 0
        z_b  =  sum_t w_bt c_t,     sum_t w_bt = 1          w_b: a triangle around the part b of the recording's length

    The mean that is taken away is what microphone and room do to every frame. Coefficients beyond the first dozen would show the
    harmonics of the voice's pitch. Parts of equal length are as many for a slow word as for a fast one.

    Args:
        rate: samples a second of x.
        coefficients: of each frame.
        parts: of a recording; zeros behind it are none.
        mels: bands of the frames, see `LogMel`.

    Raises:
        ArgumentError: a size below 1; as many coefficients as bands, or more.

    Source: Davis & Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition", 1980, for the
    cosines; Atal, "Effectiveness of linear prediction characteristics of the speech wave for automatic speaker identification",
    1974, for the mean.

    Examples:
        >>> from quickstudy.domains.audio.encoders import Cepstra
        >>> Cepstra(rate=8000)(torch.randn(2, 8000)).shape
        torch.Size([2, 12, 24])
    """

    cosines: Tensor

    def __init__(
        self, rate: PositiveInt = 16000, coefficients: PositiveInt = 12, parts: PositiveInt = 24, mels: PositiveInt = 40
    ):
        super().__init__()
        if coefficients >= mels:
            expected, do = f"fewer than the {mels} bands", "12 are common."
            raise ArgumentError("coefficients", expected=expected, got=str(coefficients), do=do)
        self.rate, self.coefficients, self.parts, self.mels = rate, coefficients, parts, mels
        self.frames = LogMel(rate=rate, mels=mels, high=min(4000.0, rate / 2))
        k, n = torch.arange(1, coefficients + 1)[:, None], torch.arange(mels)
        self.register_buffer("cosines", (torch.pi / mels * (n + 0.5) * k).cos() * (2 / mels) ** 0.5, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., samples) -> (..., coefficients, parts)."""
        power = self.frames.power(x)
        of_frame = power.sum(-2, keepdim=True)
        h = (of_frame > HEARD * of_frame.amax(-1, keepdim=True)).to(power.dtype)
        c = self.cosines @ torch.log(power + self.frames.floor)
        c = h * (c - (h * c).sum(-1, keepdim=True) / h.sum(-1, keepdim=True).clamp(min=1))
        return c @ self.weights(x, c.shape[-1]).transpose(-1, -2)

    def weights(self, x: Tensor, frames: int) -> Tensor:
        """w, (..., parts, frames)."""
        length = lengths(x)[..., None, None].to(x.dtype) / self.frames.step  # in frames
        length = length.clamp(min=1)
        middle = (torch.arange(self.parts, device=x.device, dtype=x.dtype)[:, None] + 0.5) / self.parts * length
        half = (length / self.parts).clamp(min=1)  # at least a frame, where parts are shorter
        w = (1 - (torch.arange(frames, device=x.device, dtype=x.dtype) - middle).abs() / half).clamp(min=0)
        return w / w.sum(-1, keepdim=True).clamp(min=1e-6)
