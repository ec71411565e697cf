"""Temperature scaling: one number that fits a classifier's confidence to its accuracy.

    T*  =  argmin_T  NLL(T),        NLL(T)  =  - 1/n sum_i log softmax(l_i / T)_{y_i}                            (1)

The argmax of each row does not change. With b = 1/T and p_i = softmax(b l_i)

    dNLL/db  =  1/n sum_i ( sum_k p_ik l_ik  -  l_{i, y_i} )                                                    (2)

which grows with b: its derivative is the mean variance of the logits under p. So there is one zero, and bisection finds it.
Source of (1): Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from quickstudy.arguments import PositiveFloat

REACH = math.log(1e4)  # T is in [1e-4, 1e4]: the lowest if every answer is right, the highest if logits tell nothing
STEPS = 50  # the bracket of log T shrinks to 2e-14


def fit_temperature(logits: Tensor, y: Tensor) -> float:
    """T* for logits (examples, ways) and labels (examples,). -inf marks a class that an example cannot have."""
    logits, low, high = logits.double(), -REACH, REACH
    finite = logits.masked_fill(logits == -math.inf, 0.0)
    for _ in range(STEPS):
        middle = (low + high) / 2  # log b
        p = (math.exp(middle) * logits).softmax(1)
        slope = float(((p * finite).sum(1) - finite.gather(1, y[:, None])[:, 0]).mean())  # (2)
        low, high = (low, middle) if slope > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def nll(logits: Tensor, y: Tensor, temperature: PositiveFloat = 1.0) -> float:
    """NLL(T)."""
    return float(F.cross_entropy(logits.double() / temperature, y))  # (1)
