"""Another sampling rate, by a windowed sinc in polyphase form.

y[n]  =  sum_m x[m] h(n M / L - m),       h(t)  =  c sinc(c t) w(c t / ZEROS)           L / M  =  to / rate, in lowest terms
c     =  ROLLOFF min(1, L / M)            below the lower of both Nyquist frequencies;   w: Kaiser's window of shape BETA

n M / L has L different fractions: L phases of h, each of some taps. L samples of y, or several times as many, are a row of x
times a matrix that holds the phases.

Source: Smith, "Digital Audio Resampling Home Page", 2002, section "Theory of Ideal Bandlimited Interpolation".
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked

ZEROS, ROLLOFF, BETA = 24, 0.945, 9.0  # zero crossings on each side; a stop band about 90 dB down
BLOCK = 128  # samples of y at least that a row of x makes


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
    matrix, step, reach = _block(up, down)
    size = math.ceil(len(x) * up / down)
    blocks = math.ceil(size / matrix.shape[1])
    short = (blocks - 1) * step + len(matrix) - len(x) - reach
    rows = torch.nn.functional.pad(x, (reach, max(0, short))).unfold(0, len(matrix), step)[:blocks]
    return (rows @ matrix).flatten()[:size]


@functools.lru_cache(maxsize=8)
def _block(up: int, down: int) -> tuple[Tensor, int, int]:
    """What makes a block of y of a row of x: (samples of x, samples of y); samples from a block to the next; those before it."""
    h = _phases(up, down)
    n = torch.arange(up * math.ceil(BLOCK / up))
    first, taps = n * down // up, torch.arange(h.shape[1])
    matrix = torch.zeros(int(first[-1]) + len(taps), len(n))
    matrix[first[:, None] + taps, n[:, None].expand(-1, len(taps))] = h[n * down % up]
    return matrix, len(n) * down // up, len(taps) // 2


def _phases(up: int, down: int) -> Tensor:
    """h at each fraction of a sample, (up, taps)."""
    c = ROLLOFF * min(1.0, up / down)
    reach = math.ceil(ZEROS / c)
    t = (np.arange(up) / up)[:, None] - np.arange(-reach, reach + 1)
    window = np.i0(BETA * np.sqrt(np.clip(1 - (c * t / ZEROS) ** 2, 0, None))) / np.i0(BETA)
    return torch.from_numpy((c * np.sinc(c * t) * window * (np.abs(c * t) <= ZEROS)).astype(np.float32))
