"""From a feature for each byte to one for the text: means and maxima over the bytes that are of the text."""

from __future__ import annotations

import torch
from torch import Tensor

ABSENT = -1e9  # of a byte that is not of the text, in a maximum or a softmax


def masked_mean(h: Tensor, mask: Tensor) -> Tensor:
    """The mean of h (examples, length, features) over the places where mask (examples, length) is true; 0 where none is."""
    weight = mask.to(h.dtype)[..., None]
    return (h * weight).sum(-2) / weight.sum(-2).clamp(min=1)


def mean_and_max(h: Tensor, mask: Tensor) -> Tensor:
    """(examples, 2 features): the mean, then the maximum."""
    return torch.cat([masked_mean(h, mask), h.masked_fill(~mask[..., None], ABSENT).amax(-2)], -1)
