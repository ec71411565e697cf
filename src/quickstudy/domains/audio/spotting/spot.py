"""Spotting: the words that a predictor hears in a stream, each where its score is highest.

window   w  =  `seconds` of the stream from  w hop  on, brought into the form of a recording by `Waveform`
score    w  =  score(logits of w),     label w  =  argmax of the logits of w           score: see `evaluation.ood_scores`
spots       =  the windows by falling score, without those within `apart` seconds of one that was taken before

A score below a threshold says "none of these". A window of pure silence has the score minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.domains.audio.spotting.stream import Stream
from quickstudy.domains.audio.waveform import SILENT, Waveform
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.ood_scores import Energy, UnknownScore


@dataclass(frozen=True)
class Spots:
    """What was heard, by falling score.

    Args:
        times: the middle of each window, in seconds, (spots,).
        labels: the class that it is nearest to, (spots,).
        scores: how near, (spots,).
    """

    times: Tensor
    labels: Tensor
    scores: Tensor


@checked
@torch.no_grad()
def spot(
    predictor: Callable[[Tensor], Tensor],
    stream: Stream,
    reads: Waveform,
    *,
    hop: PositiveFloat = 0.1,
    apart: PositiveFloat = 0.5,
    score: UnknownScore = Energy(),
    temperature: PositiveFloat = 1.0,
    batch: PositiveInt = 256,
) -> Spots:
    """The words of a predictor in a stream.

    Args:
        predictor: recordings (examples, samples) -> logits (examples, ways), such as `learner.adapt(support)`.
        stream: the long recording.
        reads: how the recordings of the support were read; its `seconds` are those of a window.
        hop: seconds from a window to the next.
        apart: seconds between two spots at least.
        score: how much a window is one of the words.
        temperature: of the score, as `calibrate` fits it.
        batch: windows that are answered at once.

    Raises:
        ArgumentError: a stream of another rate than `reads`, or shorter than a window.

    Examples:
        >>> from quickstudy.domains.audio.spotting import make_stream, spot
        >>> stream = make_stream(torch.randn(2, 800), torch.tensor([0, -1]), seconds=6.0, rate=1000)
        >>> reads = qs.tasks.Waveform(rate=1000, seconds=0.8)
        >>> loudness = lambda x: torch.stack([x.abs().mean(-1), x[:, ::2].abs().mean(-1)], -1)
        >>> spots = spot(loudness, stream, reads)
        >>> bool((spots.scores.diff() <= 0).all()), bool((spots.times.sort().values.diff() >= 0.5).all())
        (True, True)
    """
    size, step = reads.samples, max(1, round(hop * stream.rate))
    if stream.rate != reads.rate or len(stream.samples) < size:
        raise ArgumentError(
            "stream",
            expected=f"one at {reads.rate} Hz, of {reads.seconds:g} s or more",
            got=f"{len(stream.samples)} samples at {stream.rate} Hz",
            do="Make it of the recordings that the support is of.",
        )
    windows = stream.samples.unfold(0, size, step)
    heard = (windows.amax(1) - windows.amin(1) > 2 * SILENT).nonzero()[:, 0]
    logits = torch.cat(
        [
            predictor(torch.stack([reads.of_samples(windows[w], stream.rate) for w in some.tolist()])).double()
            for some in heard.split(batch)
        ]
    )
    times = (heard * step + size / 2) / stream.rate
    return _apart(times.double(), logits.argmax(1), score(logits, temperature), apart)


def _apart(times: Tensor, labels: Tensor, scores: Tensor, apart: float) -> Spots:
    """The windows by falling score, without those near to one before."""
    order, free, kept = scores.argsort(descending=True, stable=True), torch.ones(len(times), dtype=torch.bool), list[int]()
    for window in order.tolist():
        if free[window]:
            kept.append(window)
            low, high = (int(torch.searchsorted(times, times[window] + side * apart, right=side < 0)) for side in (-1, 1))
            free[low:high] = False  # those less than `apart` away
    taken = torch.tensor(kept, dtype=torch.int64)
    return Spots(times[taken], labels[taken], scores[taken])
