"""Chi-square tests of uniformity, for choices with and without replacement."""

from __future__ import annotations

import torch
from torch import Tensor


def p_value(counts: Tensor, chosen: int = 1) -> float:
    """How likely are counts as uneven as these (N,), where each of n draws took `chosen` of N without replacement, uniformly?

    One draw takes each of the N with probability p = chosen / N, so a count has the variance n p (1 - p), and counts always add
    up to n chosen, so their covariance is n p (1 - p) N / (N - 1) times the projection that removes the mean. Hence

        sum (count - n p)^2  /  ( n p (1 - p) N / (N - 1) )   ~   chi-square with N - 1 degrees of freedom
    """
    N = len(counts)
    n, p = float(counts.sum()) / chosen, chosen / N
    statistic = ((counts.double() - n * p) ** 2).sum() / (n * p * (1 - p) * N / (N - 1))
    return float(torch.special.gammaincc(torch.tensor((N - 1) / 2, dtype=torch.float64), statistic / 2))


UNIFORM, BIASED = 1e-3, 1e-9  # above the first nothing speaks against uniformity; below the second it is ruled out
