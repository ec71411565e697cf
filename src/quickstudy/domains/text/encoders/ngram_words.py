"""A text as its words, each by the n-grams in it, and convolutions over the words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.encoders.ngram_bag import PRIME
from quickstudy.domains.text.encoders.ngram_frequencies import CAPITALS
from quickstudy.domains.text.encoders.pooling import mean_and_max
from quickstudy.errors import ArgumentError
from quickstudy.learners.read.transformer import Norm
from quickstudy.randomness import seeded

SPACE = 32


@checked
class NGramWords(nn.Module):
    """Residual convolutions over words, a word being the n-grams in it: some four bytes a step, where `ByteConv` has one.

        w(i)    =  | { j <= i : ids[j] is a space } |,   with one before the text       the word of place i
        h_0(w)  =  sum_n  sum_i T_n[ h_n(i) ] / sqrt(their number)       i: n-grams of w, a space before and behind it being of it
        h_l+1   =  h_l + relu( conv_{kernel, dilation 2^l}( norm h_l ) ),               l = 0 .. depth-1;   0 outside of the text
        z       =  [ mean_w norm h, max_w norm h ] W + w             or, for pool=False, norm(h)(w(i)) W + w for each byte

    Args:
        features: of the output.
        width, depth, kernel: sizes of the convolutions; an odd kernel.
        n: the lengths of the n-grams, in bytes.
        buckets: rows of each table; n-grams that share one are not told apart.
        words: of a text; those behind are read as one with the last of these.
        pool: False: an output for each byte, that of its word, for labels of tokens.
        seed: of the initial weights.

    Raises:
        ArgumentError: a size below 1; an even kernel.

    Source: Bojanowski, Grave, Joulin & Mikolov, "Enriching Word Vectors with Subword Information", TACL 2017, for words as
    n-grams. A to Z are read as a to z.

    Examples:
        >>> from quickstudy.domains.text.encoders import NGramWords
        >>> reads = qs.tasks.Bytes(length=16)
        >>> text = reads.apply(reads.read(["good day", "buenos días"]))
        >>> NGramWords(features=8)(**text).shape, NGramWords(features=8, pool=False)(**text).shape
        (torch.Size([2, 8]), torch.Size([2, 16, 8]))
    """

    def __init__(
        self,
        features: PositiveInt = 64,
        width: PositiveInt = 64,
        depth: PositiveInt = 3,
        kernel: PositiveInt = 3,
        n: Sequence[PositiveInt] = (2, 3, 4, 5),
        buckets: PositiveInt = 4096,
        words: PositiveInt = 24,
        pool: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise ArgumentError("kernel", expected="an odd number", got=str(kernel), do=f"Give {kernel + 1}.")
        self.features, self.width, self.depth, self.kernel, self.n = features, width, depth, kernel, tuple(n)
        self.buckets, self.words, self.pool, self.seed = buckets, words, pool, seed
        with seeded(seed):
            tables = [nn.Embedding(buckets, width) for _ in self.n]
            for table in tables:
                nn.init.normal_(table.weight, std=0.3)
            self.tables = nn.ModuleList(tables)
            self.convolutions = nn.ModuleList(
                nn.Conv1d(width, width, kernel, padding=2**layer * (kernel // 2), dilation=2**layer) for layer in range(depth)
            )
            self.norms = nn.ModuleList(Norm(width) for _ in range(depth + 1))
            self.head = nn.Linear(2 * width if pool else width, features)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (examples, length) -> (examples, features), or (examples, length, features)."""
        first, last = CAPITALS
        ids = torch.where((ids >= first) & (ids <= last), ids + 32, ids).where(mask, SPACE)
        ids = F.pad(ids, (1, max(self.n)), value=SPACE)
        within = F.pad(mask, (1, 0), value=True)
        within = F.pad(within, (0, max(self.n)), value=False)
        word = ((ids == SPACE) & within).long().cumsum(-1) - 1  # w(i)
        place = word.clamp(max=self.words - 1)
        h = sum(self._words(n, table, ids, within, word, place) for n, table in zip(self.n, self.tables, strict=True))
        assert isinstance(h, Tensor)
        there = torch.arange(self.words, device=ids.device) <= word[..., -1:]
        here = there[..., None].to(h.dtype)
        for norm, convolution in zip(self.norms[:-1], self.convolutions, strict=True):
            h = h + F.relu(convolution((norm(h) * here).transpose(1, 2)).transpose(1, 2)) * here
        h = self.norms[-1](h)
        if self.pool:
            return self.head(mean_and_max(h, there))
        z = self.head(h)
        return z.gather(1, place[..., 1 : 1 + mask.shape[-1], None].expand(*mask.shape, self.features))

    def _words(self, n: int, table: nn.Module, ids: Tensor, within: Tensor, word: Tensor, place: Tensor) -> Tensor:
        """The sum of one length of n-grams in each word, (examples, words, width)."""
        powers = torch.tensor([pow(PRIME, j, self.buckets) for j in range(n)], device=ids.device)
        grams = (ids.unfold(-1, n, 1) * powers).sum(-1) % self.buckets
        places, inner = grams.shape[-1], max(n - 2, 0)  # all but the last byte are of the word
        own = within[..., inner : inner + places] & (word[..., inner : inner + places] == word[..., :places])
        rows = table(grams) * own[..., None]
        shape = (*ids.shape[:-1], self.words)
        total = rows.new_zeros(*shape, self.width).scatter_add(1, place[..., :places, None].expand_as(rows), rows)
        count = rows.new_zeros(shape).scatter_add(1, place[..., :places], own.to(rows.dtype))
        return total / count.clamp(min=1).sqrt()[..., None]
