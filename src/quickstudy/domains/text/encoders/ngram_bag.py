"""A bag of n-grams: each run of n bytes is hashed to a row of a table, and the text is their mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.encoders.pooling import masked_mean
from quickstudy.randomness import seeded

PRIME = 1_000_003


@checked
class NGramBag(nn.Module):
    """A text by the n-grams that are in it, wherever they stand. Cheap, and hard to beat on topics.

        h_n(i)  =  sum_{j < n} ids[i + j] PRIME^j  mod  buckets          the n-gram at place i
        z       =  concat_n  mean_i  T_n[ h_n(i) ],      output  =  relu(z) W + w

    Args:
        features: of the output.
        n: the lengths of the n-grams, in bytes.
        buckets: rows of each table; n-grams that share one are not told apart.
        width: of a row.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1.

    Source: Joulin, Grave, Bojanowski & Mikolov, "Bag of Tricks for Efficient Text Classification", EACL 2017, on bytes in place
    of words and with all lengths side by side.

    Examples:
        >>> from quickstudy.domains.text.encoders import NGramBag
        >>> reads = qs.tasks.Bytes(length=16)
        >>> NGramBag(features=8)(**reads.apply(reads.read(["good day", "buenos días"]))).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        features: PositiveInt = 64,
        n: Sequence[PositiveInt] = (2, 3, 4, 5),
        buckets: PositiveInt = 8192,
        width: PositiveInt = 32,
        seed: int = 0,
    ):
        super().__init__()
        self.features, self.n, self.buckets, self.width, self.seed = features, tuple(n), buckets, width, seed
        with seeded(seed):
            self.tables = nn.ModuleList(nn.Embedding(buckets, width) for _ in self.n)
            self.head = nn.Linear(width * len(self.n), features)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, length) -> (examples, features)."""
        means = []
        for n, table in zip(self.n, self.tables, strict=True):
            powers = torch.tensor([pow(PRIME, j, self.buckets) for j in range(n)], device=ids.device)
            grams = (ids.unfold(-1, n, 1) * powers).sum(-1) % self.buckets
            means.append(masked_mean(table(grams), mask.unfold(-1, n, 1).all(-1)))
        return self.head(torch.cat(means, -1).relu())
