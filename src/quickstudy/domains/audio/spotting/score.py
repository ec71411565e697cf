"""False accepts: how many spots of a stream are none, when a share of its words is to be found.

right    a spot with the label of a word, whose time is within `near` seconds of it
recall   =  words with a right spot at or above the threshold  /  words
false accepts an hour   =  spots at or above the threshold that are not right  /  hours

A threshold is chosen on one stream, `threshold_for`, and applied to another, `accepts`: on its own stream it would be too good.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, Probability, checked
from quickstudy.domains.audio.spotting.spot import Spots
from quickstudy.domains.audio.spotting.stream import OTHER, Stream
from quickstudy.errors import ArgumentError

NEAR = 0.25  # seconds


@dataclass(frozen=True)
class Accepts:
    """What a threshold accepts of a stream.

    Args:
        recall: the share of its words that are found.
        false_accepts: spots an hour that are no such word.
        words: in the stream.
    """

    recall: float
    false_accepts: float
    words: int


@checked
def accepts(spots: Spots, stream: Stream, threshold: float, *, near: NonNegativeFloat = NEAR) -> Accepts:
    """Recall and false accepts of a stream at a threshold.

    Raises:
        ArgumentError: a stream without a word to be found.

    Examples:
        >>> from quickstudy.domains.audio.spotting import Spots, Stream, accepts
        >>> begins = torch.tensor([1.0, 5.0])
        >>> stream = Stream(torch.zeros(36000), 1000, begins, begins + 0.5, torch.tensor([0, 1]))
        >>> spots = Spots(torch.tensor([1.2, 5.2, 9.0]), torch.tensor([0, 0, 1]), torch.tensor([3.0, 2.0, 1.0]))
        >>> accepts(spots, stream, threshold=2.0)  # the second is taken for the first word, the third is below
        Accepts(recall=0.5, false_accepts=100.0, words=2)
    """
    best, right = _matched(spots, stream, near)
    accepted = spots.scores >= threshold
    found = float((best >= threshold).double().mean())
    return Accepts(found, round(int((accepted & ~right).sum()) / stream.hours, 6), len(best))


@checked
def threshold_for(spots: Spots, stream: Stream, recall: Probability = 0.9, *, near: NonNegativeFloat = NEAR) -> float:
    """The highest threshold at which this share of the words is found.

    Raises:
        ArgumentError: fewer are found at any threshold; no word in the stream.
    """
    best = _matched(spots, stream, near)[0].sort(descending=True).values
    needed = max(1, -int(-(len(best) * recall) // 1))
    threshold = float(best[needed - 1])
    if threshold == -torch.inf:
        raise ArgumentError(
            "recall",
            expected=f"at most {float(best.isfinite().double().mean()):.3f}, the share that is found at all",
            got=f"{recall:g}",
            do="Lower it, or take a shorter `hop` and `apart`.",
        )
    return threshold


def _matched(spots: Spots, stream: Stream, near: float) -> tuple[Tensor, Tensor]:
    """The highest score of a right spot of each word, (words,), minus infinity for none; which spots are right, (spots,)."""
    words = stream.labels != OTHER
    if not bool(words.any()):
        do = "Give the words to be spotted labels from 0 on."
        raise ArgumentError("stream", expected="a word to be found", got="none", do=do)
    begins, ends, labels = stream.begins[words] - near, stream.ends[words] + near, stream.labels[words]
    times = spots.times[:, None]
    fits = (times >= begins) & (times <= ends) & (spots.labels[:, None] == labels)  # (spots, words)
    best = torch.where(fits, spots.scores[:, None].double(), -torch.inf).amax(0)
    return best, fits.any(1)
