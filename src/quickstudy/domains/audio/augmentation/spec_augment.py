"""SpecAugment: parts of a recording that are left out, in time and in frequency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeInt, Probability, checked
from quickstudy.domains.audio.augmentation.recordings import Drawn, RecordingAugmentation

SIZE, STEP = 512, 128  # samples of a frame, and between two


@checked
@dataclass(frozen=True)
class SpecAugment(RecordingAugmentation):
    """Some bands of frequency, and some stretches of time, are silent. It acts on samples: any network hears it.

    Args:
        bands, times: how many of each.
        band, time: the widest of each, as a share of all frequencies and of the recording; the width is uniform from 0 on.
        drawn: for each "example", or once for a "task".

    Source: Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", Interspeech 2019,
    section 2, without the warping of time (see `ChangeTempo`); silence in place of zeros of log-mel.

    Examples:
        >>> x, y = torch.randn(40, 4000), torch.arange(40) // 10
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=2, queries=5, augment=[qs.tasks.SpecAugment()])
        >>> tasks.sample(2).support.x.shape
        torch.Size([2, 2, 4000])
    """

    bands: NonNegativeInt = 2
    band: Probability = 0.15
    times: NonNegativeInt = 2
    time: Probability = 0.1
    drawn: Drawn = "example"  # type: ignore[misc]

    def draw(self, n: int, samples: int, generator: torch.Generator) -> Tensor:
        """(n, bands + times, 2): where each begins and ends, as shares."""
        widest = torch.tensor([self.band] * self.bands + [self.time] * self.times)
        width, place = torch.rand(2, n, self.bands + self.times, generator=generator)
        begin = place * (1 - width * widest)
        return torch.stack([begin, begin + width * widest], 2)

    def applied(self, x: Tensor, draws: Tensor) -> Tensor:
        window = torch.hann_window(SIZE, dtype=x.dtype, device=x.device)
        X = torch.stft(x, SIZE, STEP, window=window, pad_mode="constant", return_complex=True)
        bands, times = draws.split([self.bands, self.times], 1)
        kept = _outside(bands, X.shape[1])[:, :, None] * _outside(times, X.shape[2])[:, None]
        return torch.istft(X * kept, SIZE, STEP, window=window, length=x.shape[1])


def _outside(spans: Tensor, places: int) -> Tensor:
    """(n, places): 0 in one of the spans (n, spans, 2), 1 elsewhere."""
    at = (torch.arange(places, dtype=spans.dtype, device=spans.device) + 0.5) / places
    inside = (spans[..., :1] <= at) & (at < spans[..., 1:])
    return (~inside.any(1)).to(spans.dtype)
