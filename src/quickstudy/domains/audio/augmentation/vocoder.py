"""Another pace at the same pitch, by a phase vocoder.

X_t       =  Fourier transform of frame t of x
|Y_k|     =  | X | at frame  r k,  between its neighbours linearly               r: how much faster
arg Y_k   =  arg Y_k-1  +  the turn of the phase from frame floor(r k) to the next

Source: Flanagan & Golden, "Phase Vocoder", 1966; Laroche & Dolson, "Improved Phase Vocoder Time-Scale Modification of Audio",
1999, section I.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE, STEP = 512, 128  # samples of a frame, and between two


def stretched(x: Tensor, rates: Tensor, samples: int) -> Tensor:
    """Recordings (n, any), each `rates` (n,) times as fast: (n, samples), zeros behind their ends.

    Examples:
        >>> from quickstudy.domains.audio.augmentation.vocoder import stretched
        >>> stretched(torch.randn(2, 8000), torch.tensor([2.0, 0.5]), 8000)[0, 4500:].abs().max() < 0.01
        tensor(True)
    """
    window = torch.hann_window(SIZE, dtype=x.dtype, device=x.device)
    X = F.pad(torch.stft(x, SIZE, STEP, window=window, pad_mode="constant", return_complex=True), (0, 2))
    frames = 1 + math.ceil(samples / STEP)
    at = rates[:, None] * torch.arange(frames, dtype=x.dtype, device=x.device)
    first = at.floor().long().clamp(max=X.shape[2] - 2)
    before, after = (X.gather(2, (first + one)[:, None].expand(-1, X.shape[1], -1)) for one in (0, 1))
    share = (at - first).clamp(max=1)[:, None]
    magnitude = (1 - share) * before.abs() + share * after.abs()
    steady = 2 * torch.pi * STEP / SIZE * torch.arange(X.shape[1], dtype=x.dtype, device=x.device)[:, None]
    turn = after.angle() - before.angle() - steady
    turn = turn - 2 * torch.pi * (turn / (2 * torch.pi)).round() + steady
    phase = before[..., :1].angle() + F.pad(turn[..., :-1].cumsum(2), (1, 0))
    return torch.istft(torch.polar(magnitude, phase), SIZE, STEP, window=window, length=samples)
