"""Transducer: pairs of strings are read in context; the answer to another is written byte by byte, copied where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.strings.characters import COPIES, VOCABULARY
from quickstudy.domains.text.strings.layers import ByteEmbedding, Layer, Pointer, Read, layers
from quickstudy.domains.text.strings.rows import Strings, as_pairs
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, LabelError, ShapeError
from quickstudy.forward.context import Context
from quickstudy.forward.mode import Forward
from quickstudy.learners.functional import one_hot
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Outcome, Values
from quickstudy.learners.read.transformer import Norm
from quickstudy.randomness import seeded
from quickstudy.targets import Tokens
from quickstudy.targets.tokens import counted, ended

LEAST = 1e-6  # the share of p that is uniform, so that no byte has probability 0


class Asked(NamedTuple):
    """What is read once of the queries, before the first byte of an answer."""

    aligned: list[Read]
    decoded: list[list[Read]]
    inputs: Read
    memory: Read


class Parts(NamedTuple):
    """The parts of (5) that add up to p, each (examples, places, ...): over the vocabulary, the memory, and copies of x."""

    vocabulary: Tensor
    memory: Tensor
    copies: Tensor


@checked
class Transducer(Learner):
    """Strings into strings: K pairs show a rule, and the learner applies it to other strings. Nothing but activations adapts.

        e      =  encode(x)                              bytes and places, `depth` layers of attention within x            (1)
        g_t    =  align(y_<t, e)                         a place of an answer: what is before it, and where that is in x   (2)
        m_k,t  =  explain(g_k,t + B[y_k,t], e_k)         a place of a support's answer: what was written there, from where (3)
        h_t    =  decode(g_t, e, m)                      `depth` layers: what is before it, x, and all of the support      (4)
        p(y_t | y_<t, x, S)  =  a_0 softmax(h_t W + w)  +  a_1 sum_k,s softmax_k,s( P h_t . M m_k,s ) [y_k,s]
                                +  sum_c a_c sum_i softmax_i( Q h_t . N e_i ) [c(x_i)],        a = softmax(h_t A + b)       (5)
        loss   =  - mean over the queries' bytes and ends of  log p(y_t | y_<t, x, S)                                      (6)

    (5) writes a byte from the vocabulary, repeats one of the support's answers, or copies one of x, as it is or with its case
    turned (c), so that words that were never seen are written right. (6) is given the true y_<t, teacher forcing; `predict` is
    given none, and takes the likeliest byte each time. The order of the pairs does not matter. Texts are bytes: letters beyond
    ASCII are copied, but their case is not turned.

    Args:
        length: bytes of a string at most, of x and of y.

    Other Args:
        width, heads, depth: sizes; a head has width / heads features.
        seed: of the initial weights.

    Raises:
        ArgumentError: a width that the heads do not divide.
        LabelError: a support that is not of `Tokens` of 256.
        ShapeError: strings of another length.

    Source: See, Liu & Manning, "Get to the Point: Summarization with Pointer-Generator Networks", ACL 2017, for copying, here
    also out of the support; Vaswani et al., 2017, for attention. Pairs as a context: Devlin et al., "RobustFill", ICML 2017.

    Examples:
        >>> learner, tasks = qs.Transducer(width=16, depth=1), qs.tasks.Formats(kinds=("date",), shots=2, queries=2)
        >>> run = qs.meta_train(learner, tasks, steps=1, tasks_per_step=2, validation_episodes=2, executor="vmap", progress=False)
        >>> len(learner.complete({"3.7.24": "03", "28.11.19": "28"}, ["9.6.21"]))
        1
    """

    def __init__(
        self,
        length: PositiveInt = 32,
        *,
        width: PositiveInt = 64,
        heads: PositiveInt = 4,
        memory_heads: PositiveInt = 2,
        encoder_depth: PositiveInt = 1,
        depth: PositiveInt = 2,
        seed: int = 0,
    ):
        super().__init__()
        if width % heads:
            raise ArgumentError("width", expected=f"a multiple of heads={heads}", got=str(width), do="64 and 4 are the defaults.")
        self.length = length
        with seeded(seed):
            self.bytes = ByteEmbedding(width)
            self.encoder = nn.ModuleList(Layer(width, heads) for _ in range(encoder_depth))
            self.align, self.explain = Layer(width, heads, [heads]), Layer(width, heads, [heads])
            self.decoder = nn.ModuleList(Layer(width, heads, [heads, memory_heads]) for _ in range(depth))
            self.norm_inputs, self.norm_memory, self.norm = Norm(width), Norm(width), Norm(width)
            self.vocabulary = nn.Linear(width, VOCABULARY)
            self.gates = nn.Linear(width, 2 + len(COPIES))
            self.to_inputs, self.to_memory = Pointer(width), Pointer(width)

    def learn(self, support: Examples) -> Values:
        """The memory (1, pairs * length, width), which of it is there, and the bytes that were written there."""
        self._check(support)
        inputs, there = self._encoded(support.x), support.x["mask"]
        y, known = ended(support.y), counted(support.y)
        g, _ = self._aligned(shifted(y), self.align.read((inputs, there)), None)  # (2)
        m = self.explain.whole(g + self.bytes.known(y), known, self.explain.read((inputs, there)))  # (3)
        m = self.norm_memory(m)
        return {"memory": m.flatten(0, 1)[None], "there": known.flatten()[None], "tokens": y.flatten()[None]}

    def predict(self, values: Values, x: Any) -> Tensor:
        """log p (examples, length, 256) of each byte, given the likeliest ones before it."""
        asked = self._asked(values, x)
        written, found = torch.zeros_like(x["ids"][:, :1]), list[Tensor]()
        past: list[Read] | None = None
        for _ in range(self.length):
            parts, past = self._parts(asked, written, past)
            found.append(self._log_p(values, x, parts))
            written = torch.cat([written, found[-1].argmax(-1)], 1)
        return torch.cat(found, 1)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """(6), or the criterion of log p: the one place that is given the queries' y."""
        state, query = self.state(episode.support, context), episode.query
        with Forward(context, "batch", -1):
            parts, _ = self._parts(self._asked(state.values, query.x), shifted(query.y), None)
            if criterion is not None:
                loss = self.criterion_of(query, criterion)(self._log_p(state.values, query.x, parts), query.y)
            else:
                counts = counted(query.y)
                loss = -(self._log_likelihood(state.values, query, parts) * counts).sum() / counts.sum()  # (6)
            return Outcome(loss, {}, {}, ())

    def complete(self, examples: Mapping[str, str] | Sequence[Any], rest: Sequence[Any]) -> list[str]:
        """The rest of a column, from a few examples of how it should be.

        Args:
            examples: strings and what becomes of each: a mapping, or a list of pairs.
            rest: strings to do the same with.

        Raises:
            DataError: what is no text, is empty, is longer than `length` bytes, or holds what no text does.
            TaskError: no examples.
        """
        strings = Strings(self.length)
        predictor = self.adapt(strings.pairs(*as_pairs(examples)))
        return [str(one) for one in predictor.predict(strings.inputs(rest, "rest"))]

    # ---- the parts of (1) to (5) ----

    def _encoded(self, x: Any) -> Tensor:
        """(1): (examples, length, width)."""
        h = self.bytes.known(x["ids"])
        for layer in layers(self.encoder):
            h = layer.whole(h, x["mask"])
        return self.norm_inputs(h)

    def _aligned(self, written: Tensor, inputs: list[Read], past: Read | None) -> tuple[Tensor, Read]:
        """(2) for every place, or with a past for the last one alone; and what later places attend to."""
        g = self.bytes.coming(written)
        return self.align.onwards(g if past is None else g[:, -1:], past, inputs)

    def _asked(self, values: Values, x: Any) -> Asked:
        inputs, memory = (self._encoded(x), x["mask"]), (values["memory"], values["there"])
        return Asked(
            self.align.read(inputs),
            [layer.read(inputs, memory) for layer in layers(self.decoder)],
            self.to_inputs.read(*inputs),
            self.to_memory.read(*memory),
        )

    def _parts(self, asked: Asked, written: Tensor, past: list[Read] | None) -> tuple[Parts, list[Read]]:
        """(4) and the parts of (5), for every place or with a past for the last; and the past of the places behind."""
        h, own = self._aligned(written, asked.aligned, None if past is None else past[0])
        kept = [own]
        for number, (layer, others) in enumerate(zip(layers(self.decoder), asked.decoded, strict=True), 1):
            h, own = layer.onwards(h, None if past is None else past[number], others)
            kept.append(own)
        h = self.norm(h)
        a = self.gates(h).softmax(-1)
        vocabulary = a[..., :1] * self.vocabulary(h).softmax(-1)
        memory = a[..., 1:2] * self.to_memory(h, asked.memory)
        inputs = self.to_inputs(h, asked.inputs)
        return Parts(vocabulary, memory, torch.cat([a[..., c : c + 1] * inputs for c in range(2, 2 + len(COPIES))], -1)), kept

    def _log_p(self, values: Values, x: Any, parts: Parts) -> Tensor:
        """(5), log p (examples, places, 256)."""
        memory = parts.memory @ one_hot(values["tokens"], VOCABULARY, parts.memory)
        return smoothed(parts.vocabulary + memory + parts.copies @ one_hot(copies(x), VOCABULARY, parts.copies)).log()

    def _log_likelihood(self, values: Values, query: Examples, parts: Parts) -> Tensor:
        """(5) of the bytes of y alone, which costs less than of all: (examples, places)."""
        y = query.y[..., None]
        p = parts.vocabulary.gather(-1, y)[..., 0]
        p = p + (parts.memory * (values["tokens"][:, None] == y)).sum(-1)
        return smoothed(p + (parts.copies * (copies(query.x)[:, None] == y)).sum(-1)).log()

    def _check(self, support: Examples) -> None:
        if not isinstance(support.target, Tokens) or support.target.vocabulary != VOCABULARY:
            got, do = repr(support.target), "Make the support with `tasks.Strings(length).pairs(inputs, outputs)`."
            raise LabelError("support.y", expected="strings of bytes, Tokens(256)", got=got, do=do)
        shapes = [tuple(leaf.shape[1:]) for leaf in (support.x["ids"], support.y)]
        if shapes != 2 * [(self.length,)]:
            raise ShapeError(
                "support", expected=f"rows of length={self.length} bytes", got=str(shapes), do="Build both with one length."
            )


def shifted(y: Tensor) -> Tensor:
    """The byte before each place: 0, then all but the last."""
    return torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)


def copies(x: Any) -> Tensor:
    """The bytes that can be copied (examples, 3 length): those of x, then those with its case turned."""
    return torch.cat([copy(x["ids"]) for copy in COPIES], 1)


def smoothed(p: Tensor) -> Tensor:
    """(1 - LEAST) p + LEAST / 256."""
    return (1 - LEAST) * p + LEAST / VOCABULARY
