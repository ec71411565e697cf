"""The parts of `Transducer`: embeddings of bytes and their places, attention to memories that are read once, and layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.domains.text.encoders.pooling import ABSENT
from quickstudy.domains.text.strings.characters import KINDS, VOCABULARY, kinds, places, small
from quickstudy.learners.read.transformer import Norm

PLACES = 32  # runs, and places in a run, that have an embedding of their own; those beyond share the last
SHORT = 0.15  # standard deviation of embeddings at first
ADDED = 0.3  # share of what is looked up that is added at first


Part = TypeVar("Part", bound=nn.Module)


class Read(NamedTuple):
    """Tokens as one attention sees them.

    Attributes:
        keys, values: (n, heads, tokens, d).
        bias: added to the scores (n, 1, 1, tokens): 0, and `ABSENT` for a token that is not there.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor

    def and_then(self, other: Read) -> Read:
        """These tokens and others behind them."""
        return Read(*(torch.cat([a, b], axis) for a, b, axis in zip(self, other, (2, 2, 3), strict=True)))


def bias_of(there: Tensor, like: Tensor) -> Tensor:
    """0 where something is there, `ABSENT` where nothing is."""
    return (~there).to(like.dtype) * ABSENT


class Attention(nn.Module):
    """h + heads(norm h, memory), in plain operators: fused attention has no second derivative. Memories come normalised.

    With `alike` it begins as a look-up: each place sees what is most like it, and adds it as it is.
    """

    def __init__(self, width: int, heads: int, alike: bool = False):
        super().__init__()
        self.heads, self.norm = heads, Norm(width)
        self.queries, self.keys, self.values, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        if alike:
            like_to_like(self.queries, self.keys)
            nn.init.orthogonal_(self.values.weight)
            with torch.no_grad():
                self.out.weight.copy_(ADDED * self.values.weight.T)

    def read(self, memory: Tensor, there: Tensor) -> Read:
        """memory (n, tokens, width) and which of it is there (n, tokens), read once for any number of questions."""
        return Read(self._split(self.keys(memory)), self._split(self.values(memory)), bias_of(there, memory)[:, None, None])

    def forward(self, h: Tensor, read: Read) -> Tensor:
        """h (n, places, width)."""
        return h + self.seen(self.norm(h), read)

    def seen(self, x: Tensor, read: Read, bias: Tensor | None = None) -> Tensor:
        """What x (n, places, width), normalised, sees; bias (places, tokens): against what a place may not see."""
        q = self._split(self.queries(x))
        scores = (q * q.shape[-1] ** -0.5) @ read.keys.transpose(-2, -1) + (read.bias if bias is None else read.bias + bias)
        return self.out((scores.softmax(-1) @ read.values).transpose(1, 2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """(n, tokens, width) as (n, heads, tokens, d)."""
        return x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """Attention of a string's places to each other, then to other memories, each with so many heads, then a perceptron."""

    def __init__(self, width: int, heads: int, others: Sequence[int] = ()):
        super().__init__()
        self.own = Attention(width, heads)
        self.others = nn.ModuleList(Attention(width, each, alike=True) for each in others)
        self.norm, self.wide, self.narrow = Norm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def read(self, *memories: tuple[Tensor, Tensor]) -> list[Read]:
        """The memories of `others`, in their order."""
        return [attention.read(*memory) for attention, memory in zip(_of(Attention, self.others), memories, strict=True)]

    def whole(self, h: Tensor, there: Tensor, others: Sequence[Read] = ()) -> Tensor:
        """Strings that are known whole: h (n, places, width), each place seeing all that are there (n, places)."""
        x = self.own.norm(h)
        return self._rest(h + self.own.seen(x, self.own.read(x, there)), others)

    def onwards(self, h: Tensor, past: Read | None, others: Sequence[Read]) -> tuple[Tensor, Read]:
        """Strings that are being written: each place of h sees itself, those before it and the past; and the past of the next."""
        x = self.own.norm(h)
        own = self.own.read(x, x.new_ones(x.shape[:2], dtype=torch.bool))
        own = own if past is None else past.and_then(own)
        return self._rest(h + self.own.seen(x, own, causal(h)), others), own

    def _rest(self, h: Tensor, others: Sequence[Read]) -> Tensor:
        for attention, read in zip(self.others, others, strict=True):
            h = attention(h, read)
        return h + self.narrow(F.gelu(self.wide(self.norm(h))))


def layers(found: nn.ModuleList) -> list[Layer]:
    """The layers of a list."""
    return _of(Layer, found)


def _of(kind: type[Part], found: nn.ModuleList) -> list[Part]:
    return [one for one in found if isinstance(one, kind)]


def causal(h: Tensor) -> Tensor | None:
    """The bias against the places behind each of h (n, places, width); None for one place, which sees all."""
    places = h.shape[1]
    return bias_of(torch.ones(places, places, dtype=torch.bool, device=h.device).tril(), h) if places > 1 else None


class Pointer(nn.Module):
    """softmax_i( h Q . e_i N / sqrt width ): which token each place points to."""

    def __init__(self, width: int):
        super().__init__()
        self.queries, self.keys = nn.Linear(width, width), nn.Linear(width, width)
        like_to_like(self.queries, self.keys)

    def read(self, memory: Tensor, there: Tensor) -> Read:
        """memory (n, tokens, width) and which of it is there (n, tokens)."""
        keys = self.keys(memory)
        return Read(keys, keys, bias_of(there, memory)[:, None])

    def forward(self, h: Tensor, read: Read) -> Tensor:
        """h (n, places, width) -> (n, places, tokens)."""
        return ((self.queries(h) * h.shape[-1] ** -0.5) @ read.keys.transpose(-2, -1) + read.bias).softmax(-1)


class ByteEmbedding(nn.Module):
    """Bytes of a string that is known, and places of one that is being written, as vectors of the same tables.

        known(s)_i    =  B[s_i] + S[small s_i] + K[kind of s_i] + P[small s_i-1] + N[small s_i+1] + the four places of s_i
        coming(s)_t   =  K'[kind of s_t-1] + P[small s_t-1] + R'[run of s_t-1] + A'[place of s_t-1]        before s_t is known

    P is in both: a place that is coming is like those of another string where the same byte is before.
    """

    def __init__(self, width: int):
        super().__init__()
        self.byte, self.small, self.before, self.behind = (_table(VOCABULARY, width) for _ in range(4))
        self.kind, self.kind_before = (_table(KINDS, width) for _ in range(2))
        self.places = nn.ModuleList(_table(PLACES, width) for _ in range(4))
        self.places_before = nn.ModuleList(_table(PLACES, width) for _ in range(2))

    def known(self, ids: Tensor) -> Tensor:
        """(n, length) -> (n, length, width)."""
        folded = small(ids)
        h = self.byte(ids) + self.small(folded) + self.kind(kinds(ids))
        h = h + self.before(F.pad(folded, (1, -1))) + self.behind(F.pad(folded, (-1, 1)))
        return h + _sum(self.places, places(ids))

    def coming(self, before: Tensor) -> Tensor:
        """The byte before each place (n, places) -> (n, places, width)."""
        found = places(before)
        return self.kind_before(kinds(before)) + self.before(small(before)) + _sum(self.places_before, (found.run, found.place))


def _sum(tables: nn.ModuleList, numbers: Sequence[Tensor]) -> Tensor:
    """What the tables have for these numbers; beyond the last, the last."""
    return torch.stack([table(one.clamp(max=PLACES - 1)) for table, one in zip(tables, numbers, strict=True)]).sum(0)


def _table(size: int, width: int) -> nn.Embedding:
    """Vectors so short that what the layers add to them is seen from the beginning."""
    found = nn.Embedding(size, width)
    nn.init.normal_(found.weight, std=SHORT)
    return found


def like_to_like(queries: nn.Linear, keys: nn.Linear) -> None:
    """Begin with each place seeing most what is most like it: keys as queries, both orthogonal."""
    nn.init.orthogonal_(queries.weight)
    with torch.no_grad():
        keys.weight.copy_(queries.weight)
