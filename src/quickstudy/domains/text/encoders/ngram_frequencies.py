"""Weighted frequencies of n-grams: TF-IDF whose weights are meta-learned, and a projection of them that is learned too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quickstudy.arguments import NonNegativeInt, PositiveInt, checked
from quickstudy.randomness import seeded

BASE, MODULUS, STEP = 1_000_003, (1 << 31) - 1, 7919
EPSILON = 1e-12
AT_ONCE = 1024  # texts that are counted together
LEAST = 0.01  # weight of an n-gram that every text has
CAPITALS = (65, 90)  # A to Z as bytes; a to z are 32 further


@checked
class NGramFrequencies(nn.Module):
    """A text by how often each n-gram is in it, each as important as meta-training found it.

        c_k  =  | {i, n : hash(ids[i .. i+n-1]) = k} |                      k = 1 .. buckets
        u    =  w log(1 + c),   u <- u / |u|                                w: learned; TF-IDF has log(N / N_k) there
        v    =  u U,            v <- v / |v|                                U: (buckets, features), learned
        z    =  a [u, b v]                                                  a, b: learned

    |z_i - z_j|^2 then falls with the n-grams that two texts share, and with those that are used alike. Small tables suffice:
    an n-gram that shares its row with another is still told apart by the others of its word.

    Args:
        features: of the projection, beside the frequencies; 0 for none.
        n: the lengths of the n-grams, in bytes.
        buckets: rows of the table; the output has `buckets` + `features` numbers.
        lower: read A to Z as a to z.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; features below 0.

    Source: Salton & Buckley, "Term-weighting approaches in automatic text retrieval", 1988, for weighted frequencies;
    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009, without its signs.

    Examples:
        >>> from quickstudy.domains.text.encoders import NGramFrequencies
        >>> reads = qs.tasks.Bytes(length=16)
        >>> NGramFrequencies(features=8, buckets=100)(**reads.apply(reads.read(["good day", "buenos días"]))).shape
        torch.Size([2, 108])
    """

    def __init__(
        self,
        features: NonNegativeInt = 32,
        n: Sequence[PositiveInt] = (3, 4, 5),
        buckets: PositiveInt = 4096,
        lower: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        self.features, self.n, self.buckets, self.lower, self.seed = features, tuple(n), buckets, lower, seed
        with seeded(seed):
            self.log_weights = nn.Parameter(torch.zeros(buckets))
            self.projection = nn.Parameter(0.3 * torch.randn(buckets, features) / max(features, 1) ** 0.5)
        self.log_scale, self.log_share = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(-1.0))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, length) -> (examples, buckets + features)."""
        u = _unit(self.counts(ids, mask).log1p() * self.log_weights.exp())
        v = _unit(u @ self.projection)
        return self.log_scale.exp() * torch.cat([u, self.log_share.exp() * v], -1)

    @torch.no_grad()
    def weigh_by_rarity(self, ids: Tensor, mask: Tensor) -> None:
        """Begin at the weights of TF-IDF: w_k = log(N / N_k), N_k of these N texts have the n-gram k.

        An n-gram that none of them has is taken as one of a single text.

        Args:
            ids, mask: (texts, length), as of `forward`.
        """
        parts = zip(ids.split(AT_ONCE), mask.split(AT_ONCE), strict=True)
        having = torch.stack([(self.counts(*part) > 0).sum(0) for part in parts]).sum(0).clamp(min=1)
        rarity = (len(ids) / having).log().clamp(min=LEAST)
        self.log_weights.copy_(rarity.log())

    def counts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """c, (examples, buckets)."""
        if self.lower:
            first, last = CAPITALS
            ids = torch.where((ids >= first) & (ids <= last), ids + 32, ids)
        counts = self.log_weights.new_zeros(*ids.shape[:-1], self.buckets)
        for n in self.n:
            powers = torch.tensor([pow(BASE, j, MODULUS) for j in range(n)], device=ids.device)
            grams = ((ids.unfold(-1, n, 1) * powers).sum(-1) + STEP * n) % MODULUS % self.buckets
            inside = mask.unfold(-1, n, 1).all(-1).to(counts.dtype)
            counts = counts.scatter_add(-1, grams, inside)
        return counts


def _unit(u: Tensor) -> Tensor:
    """u / |u| along the last dimension; 0 stays 0, and has derivatives of every order."""
    return u / (u.square().sum(-1, keepdim=True) + EPSILON).sqrt()
