"""Another sampling rate, by a windowed sinc in polyphase form.

y[n]  =  sum_m x[m] h(n M / L - m),       h(t)  =  c sinc(c t) w(c t / ZEROS)           L / M  =  to / rate, in lowest terms
c     =  ROLLOFF min(1, L / M)            below the lower of both Nyquist frequencies;   w: Kaiser's window of shape BETA

n M / L has L different fractions: L phases of h, each of some taps.

Source: Smith, "Digital Audio Resampling Home Page", 2002, section "Theory of Ideal Bandlimited Interpolation".
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked

ZEROS, ROLLOFF, BETA = 24, 0.945, 9.0  # zero crossings on each side; a stop band about 90 dB down


@checked
def resampled(x: Tensor, rate: PositiveInt, to: PositiveInt) -> Tensor:
    """A recording (samples,) at `rate` Hz, at `to` Hz: floats (ceil(samples * to / rate),).

    Raises:
        ArgumentError: a rate below 1.

    Examples:
        >>> from quickstudy.domains.audio.resample import resampled
        >>> tone = lambda rate: torch.sin(2 * torch.pi * 440 * torch.arange(rate) / rate)
        >>> (resampled(tone(8000), 8000, 16000) - tone(16000))[500:-500].abs().max() < 1e-3
        tensor(True)
    """
    if rate == to or not len(x):
        return x
    common = math.gcd(rate, to)
    up, down = to // common, rate // common  # L, M
    h = _phases(up, down)
    reach = h.shape[1] // 2
    around, y = F.pad(x, (reach, reach)), x.new_empty(math.ceil(len(x) * up / down))
    for i in range(min(up, len(y))):  # n = i + up q, so that n M / L = q M + i M / L
        windows = around[i * down // up :].unfold(0, h.shape[1], down)
        y[i::up] = windows[: len(y[i::up])] @ h[i * down % up]
    return y


@functools.lru_cache(maxsize=8)
def _phases(up: int, down: int) -> Tensor:
    """h at each fraction of a sample, (up, taps)."""
    c = ROLLOFF * min(1.0, up / down)
    reach = math.ceil(ZEROS / c)
    t = (np.arange(up) / up)[:, None] - np.arange(-reach, reach + 1)
    window = np.i0(BETA * np.sqrt(np.clip(1 - (c * t / ZEROS) ** 2, 0, None))) / np.i0(BETA)
    return torch.from_numpy((c * np.sinc(c * t) * window * (np.abs(c * t) <= ZEROS)).astype(np.float32))
