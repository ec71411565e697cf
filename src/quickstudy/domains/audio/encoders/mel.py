"""Filters whose centres are equally far apart on the mel scale, where an octave above 1 kHz is as wide as any other.

slaney    mel(f) = 3 f / 200  up to 1 kHz, then 15 + 27 log(f / 1000) / log 6.4;      each filter's area is 1
htk       mel(f) = 2595 log10(1 + f / 700);                                         each filter's peak is 1

Source: Slaney, "Auditory Toolbox", 1998, `mfcc`, as librosa has it; Young et al., "The HTK Book", 2006, section 5.4.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["slaney", "htk"]
LINEAR, STEP = 15.0, math.log(6.4) / 27  # mels below 1 kHz; the logarithm of the factor of one mel above


def mel_filters(rate: int, size: int, mels: int, low: float, high: float, scale: Scale = "slaney") -> Tensor:
    """Triangles over the frequencies of a Fourier transform: (mels, size // 2 + 1).

    Args:
        rate: samples a second.
        size: of the transform.
        low, high: Hz, where the first filter begins and the last ends.

    Examples:
        >>> from quickstudy.domains.audio.encoders.mel import mel_filters
        >>> filters = mel_filters(16000, 512, 40, 0, 8000)
        >>> filters.shape, [round(float(area), 1) for area in (filters[10:13].sum(1) * 16000 / 512)]
        (torch.Size([40, 257]), [1.0, 1.0, 1.0])
    """
    first, last = mel(torch.tensor([low, high], dtype=torch.float64), scale).tolist()
    ends = hertz(torch.linspace(first, last, mels + 2, dtype=torch.float64), scale)
    f = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    left, centre, right = ends[:-2, None], ends[1:-1, None], ends[2:, None]
    triangles = torch.minimum((f - left) / (centre - left), (right - f) / (right - centre)).clamp(min=0)
    return (triangles * 2 / (right - left) if scale == "slaney" else triangles).float()


def mel(f: Tensor, scale: Scale) -> Tensor:
    """Hz as mels."""
    if scale == "htk":
        return 2595 * torch.log10(1 + f / 700)
    return torch.where(f < 1000, 3 * f / 200, LINEAR + torch.log(f.clamp(min=1) / 1000) / STEP)


def hertz(m: Tensor, scale: Scale) -> Tensor:
    """Mels as Hz."""
    m = m.double()
    if scale == "htk":
        return 700 * (10 ** (m / 2595) - 1)
    return torch.where(m < LINEAR, 200 * m / 3, 1000 * torch.exp(STEP * (m - LINEAR)))
