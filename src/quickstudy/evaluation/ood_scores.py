"""Out-of-distribution scores: does a query belong to any class of the support? With a threshold, and the AUROC of a score.

A score is high for known queries; a query with a score below the threshold counts as unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError


@dataclass(frozen=True)
class UnknownScore:
    """The interface of a score: (logits (examples, ways), temperature) -> (examples,)."""

    def __call__(self, logits: Tensor, temperature: float) -> Tensor:
        raise NotImplementedError


@checked
@dataclass(frozen=True)
class MaxProbability(UnknownScore):
    """The probability of the best class:  max_k softmax(l / T)_k.

    Source: Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017.

    Examples:
        >>> score = qs.evaluation.MaxProbability()
        >>> [round(p, 3) for p in score(torch.tensor([[2.0, 0.0], [5.0, 5.0]]), 1.0).tolist()]
        [0.881, 0.5]
    """

    def __call__(self, logits: Tensor, temperature: float) -> Tensor:
        return (logits / temperature).softmax(1).amax(1)


@checked
@dataclass(frozen=True)
class Energy(UnknownScore):
    """The negative free energy:  T log sum_k exp(l_k / T).

    A softmax sees only differences of logits, so a query far from every class may look certain; the energy sees their height. If
    logits are negative squared distances (Prototypical, CentredCentroid), it is minus a smooth distance to the nearest class.

    Source: Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, eq. 4.

    Examples:
        >>> near_and_far = torch.tensor([[0.0, -4.0], [-96.0, -100.0]])
        >>> qs.evaluation.MaxProbability()(near_and_far, 1.0).diff().tolist()
        [0.0]
        >>> qs.evaluation.Energy()(near_and_far, 1.0).round().tolist()
        [0.0, -96.0]
    """

    def __call__(self, logits: Tensor, temperature: float) -> Tensor:
        return temperature * (logits / temperature).logsumexp(1)


SCORES: dict[str, type[UnknownScore]] = {"MaxProbability": MaxProbability, "Energy": Energy}


def threshold_keeping(scores: Tensor, keep: float) -> float:
    """The threshold that keeps a share of at least `keep` of known queries, by their scores (examples,).

        threshold  =  the k-th smallest score,     k = floor((n + 1)(1 - keep)),        P(s_new >= threshold)  >=  keep

    by exchangeability: a new score is equally likely to take each of the n + 1 places among them. It holds on average over
    tasks drawn like these. (Split conformal prediction: Vovk et al., "Algorithmic Learning in a Random World", 2005.)

    Raises:
        ArgumentError: `keep` is outside (0, 1), or too high for this many scores.
    """
    if not 0 < keep < 1:
        raise ArgumentError("keep", expected="a share in (0, 1)", got=str(keep), do="Give for example keep=0.95.")
    k = math.floor((len(scores) + 1) * (1 - keep) + 1e-9)
    if k < 1:
        raise ArgumentError(
            "keep",
            expected=f"a share that {len(scores)} known queries can vouch for, at most {len(scores) / (len(scores) + 1):.4f}",
            got=str(keep),
            do=f"Take more episodes, at least {math.ceil(1 / (1 - keep)) - 1} known queries in all, or a smaller share.",
        )
    return float(scores.sort().values[k - 1])


def auroc(known: Tensor, unknown: Tensor) -> float:
    """The probability that a known query has a higher score than an unknown one, ties counting half.

        AUROC  =  1/(n m) sum_{i, j} ( [s_i > u_j] + 1/2 [s_i = u_j] )          s: known (n,),   u: unknown (m,)

    counted by sorting u: for each s_i, how many u_j are below it, and how many are below or at it.
    """
    u = unknown.sort().values
    below, below_or_at = torch.searchsorted(u, known), torch.searchsorted(u, known, right=True)
    return float((below + below_or_at).double().sum() / (2 * len(known) * len(unknown)))
