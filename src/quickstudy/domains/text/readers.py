"""How tagged sentences become tensors: what a learner sees of them, and where each word's label stands.

bytes       x = {"ids", "mask"} of bytes               y at each word's first byte           for small trainable encoders
features    x = (words, features) of a frozen model    y of each word                        for heads
pieces      x = {"ids", "mask"} of its pieces          y at each word's first piece          for the model itself, with LoRA
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.encoder import Encoded, TextEncoder, encoded_words
from quickstudy.domains.text.pieces import Pieces
from quickstudy.domains.text.tokens import Words, first_bytes
from quickstudy.errors import ArgumentError, DataWarning, UnsupportedError
from quickstudy.targets import NONE
from quickstudy.tasks.distribution.interface import Preprocessing

Places = list[list[int]]  # of each word of each sentence; -1 for one that is not read


class Reader(ABC):
    """The interface of a form."""

    preprocessing: Preprocessing

    @abstractmethod
    def read(self, sentences: Sequence[Words], where: str) -> tuple[Tensor, Places]:
        """x (sentences, length, ...), as the tasks keep it, and where each word stands along the axis `length`."""


@dataclass(frozen=True)
class ByteReader(Reader):
    """The bytes of a sentence, words with a space between them."""

    preprocessing: Bytes

    def read(self, sentences: Sequence[Words], where: str) -> tuple[Tensor, Places]:
        x = self.preprocessing.read([" ".join(words) for words in sentences], where)
        return x, [[place if place < x.shape[1] else -1 for place in first_bytes(words)] for words in sentences]


@dataclass(frozen=True)
class FeatureReader(Reader):
    """The features of each word, by a frozen encoder; zeros behind the last word."""

    encoder: TextEncoder
    cache: str | Path | None
    progress: bool

    @property
    def preprocessing(self) -> Encoded:  # type: ignore[override]
        return Encoded(self.encoder.key, self.encoder.features)

    def read(self, sentences: Sequence[Words], where: str) -> tuple[Tensor, Places]:
        rows = encoded_words(sentences, self.encoder, self.cache, progress=self.progress, where=where)
        places = [[-1 if bool(own.isnan().any()) else place for place, own in enumerate(words)] for words in rows]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).nan_to_num(0.0), places


@dataclass(frozen=True)
class PieceReader(Reader):
    """The pieces that a model's tokenizer makes of a sentence."""

    encoder: Any

    @property
    def preprocessing(self) -> Pieces:  # type: ignore[override]
        return Pieces(self.encoder.key, self.encoder.length)

    def read(self, sentences: Sequence[Words], where: str) -> tuple[Tensor, Places]:
        ids, words = self.encoder.pieces(sentences)
        return ids, [[own[0] if own else -1 for own in sentence] for sentence in words]


def reader_of(
    length: int | None, encoder: TextEncoder | None, trainable: bool, cache: str | Path | None, progress: bool
) -> Reader:
    """The reader that the arguments of a source ask for.

    Raises:
        ArgumentError: `length` beside an encoder, or `cache` without one whose features are kept; `trainable` without one.
        UnsupportedError: an encoder that has no features of words, or no network to train.
    """
    if encoder is not None and length is not None:
        raise ArgumentError("length", expected="none beside an encoder, which has its own", got=str(length), do="Leave it out.")
    if cache is not None and (encoder is None or trainable):
        raise ArgumentError("cache", expected="an encoder whose features are kept", got="none", do="Leave `cache` out.")
    if encoder is None:
        if trainable:
            raise ArgumentError(
                "trainable", expected="an encoder to train", got="none", do="Give encoder=TransformersEncoder(...)."
            )
        return ByteReader(Bytes() if length is None else Bytes(length=length))
    if not trainable:
        return FeatureReader(encoder, cache, progress)
    if not hasattr(encoder, "pieces"):
        got, do = type(encoder).__name__, "Take a TransformersEncoder, or leave `trainable` out for its features."
        raise UnsupportedError("trainable", expected="an encoder whose network can be trained", got=got, do=do)
    return PieceReader(encoder)


def labelled(x: Tensor, places: Places, labels: Sequence[Sequence[int]], where: str) -> Tensor:
    """y (sentences, length), int64: the label of each word at its place, -100 elsewhere; words that are not read are said."""
    y = torch.full(x.shape[:2], NONE)
    for row, (own, of) in enumerate(zip(places, labels, strict=True)):
        for place, label in zip(own, of, strict=True):
            if place >= 0:
                y[row, place] = label
    every, out = sum(map(len, places)), sum(place < 0 for own in places for place in own)
    if out:
        said = f"{out} of {every} words are not read, so they have no label: nothing is scored there"
        warnings.warn(f"`{where}`: {said}. Give length= for more.", DataWarning, stacklevel=4)
    return y
