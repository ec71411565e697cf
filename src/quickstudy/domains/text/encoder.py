"""Frozen encoders of texts: what they are known by, and their features, made once and kept on disk by `quickstudy.features`.

key       a hash of all that the encoder computes with: weights, vocabulary, how it pools
feature   of a text, made once for every key: `cache`/KEY.safetensors
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.clean import clean
from quickstudy.errors import ShapeError, UnsupportedError
from quickstudy.features import AT_ONCE, FeatureCache, OfFeatures, cache_file, example_key, features_of
from quickstudy.progress import bar


class TextEncoder(ABC):
    """The interface of a frozen encoder.

    Attributes:
        key: a hash of what it computes with. Two encoders of one key give the same features.
        features: numbers of a text.

    Examples:
        >>> from quickstudy.domains.text.encoder import TextEncoder
        >>> class Lengths(TextEncoder):
        ...     key, features = "lengths-1", 2
        ...     def encode(self, texts):
        ...         return torch.tensor([[float(len(text)), float(text.count(" "))] for text in texts])
        >>> texts, labels = ["a", "bb", "cc d", "e f g", "hh", "i j"] * 2, list("abcdef") * 2
        >>> texts = [text + "!" * (row // 6) for row, text in enumerate(texts)]
        >>> tasks = qs.tasks.from_texts(texts, labels, encoder=Lengths(), ways=2, queries=1, split=(2, 2, 2), progress=False)
        >>> tasks.train.sample(3).support.x.shape
        torch.Size([3, 2, 2])
    """

    key: str
    features: int

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts as floats (texts, features), on the CPU."""

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
        """For each sentence, the features (words, features) of its words, on the CPU; NaN for a word that is not read.

        Raises:
            UnsupportedError: this encoder has none.
        """
        do = "Take a TransformersEncoder, or give `encode_words` beside `encode`."
        raise UnsupportedError("encoder", expected="an encoder with features of words", got=type(self).__name__, do=do)


@checked
@dataclass(frozen=True)
class Encoded(OfFeatures):
    """The preprocessing of tasks on the features of a frozen encoder: it says which one.

    Args:
        key, features: of the encoder.

    Examples:
        >>> from quickstudy.domains.text.encoder import Encoded
        >>> Encoded("3f2a", 384).to_dict()
        {'key': '3f2a', 'features': 384}
    """

    encodes: ClassVar[str] = "texts"

    key: str
    features: PositiveInt


@checked
def encoded(
    texts: Sequence[str], encoder: TextEncoder, cache: str | Path | None = None, *, progress: bool = True, where: str = "texts"
) -> Tensor:
    """The features (texts, features) of a frozen encoder; each text that is not in the cache is encoded, and kept there.

    Args:
        texts: any strings that are texts.
        encoder: the frozen encoder.
        cache: a folder; None: nothing is kept.
        progress: show a bar on stderr.
        where: what the texts are called in messages.

    Raises:
        DataError: what is no text.
        ShapeError: the encoder gives another number of rows or features.
        CheckpointError: a file in the cache that is no cache.
    """
    texts = [clean(text, f"{where}[{row}]") for row, text in enumerate(texts)]
    known = FeatureCache(cache_file(cache, encoder.key), encoder.features)

    def encode(places: list[int]) -> Tensor:
        return encoder.encode([texts[place] for place in places])

    return features_of(list(map(_key, texts)), encode, known, progress=progress, what=where)


@checked
def encoded_words(
    sentences: Sequence[Sequence[str]],
    encoder: TextEncoder,
    cache: str | Path | None = None,
    *,
    progress: bool = True,
    where: str = "tokens",
) -> list[Tensor]:
    """The same for each word of a sentence: (words, features); NaN for a word that is not read.

    Raises:
        UnsupportedError: the encoder has no features of words.
        ShapeError: the encoder gives another number of rows or features.
        CheckpointError: a file in the cache that is no cache.
    """
    known = FeatureCache(cache_file(cache, encoder.key), encoder.features)
    missing = [words for words in dict.fromkeys(map(tuple, sentences)) if _of_words(words)[0] not in known]
    with bar(len(missing), f"encoding {where}", progress and bool(missing)) as shown:
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            rows = encoder.encode_words(some)
            wanted = [(len(words), encoder.features) for words in some]
            if [tuple(own.shape) for own in rows] != wanted:
                got = str([tuple(own.shape) for own in rows][:5])
                do = "encode_words() gives one row for each word."
                raise ShapeError("encoder", expected=f"features of shapes {wanted[:5]}", got=got, do=do)
            known.keep([name for words in some for name in _of_words(words)], torch.cat(rows).detach().to("cpu", torch.float32))
            shown(len(some))
    return [known.rows(_of_words(tuple(words))) for words in sentences]


def _of_words(words: tuple[str, ...]) -> list[bytes]:
    """The keys under which a cache keeps the words of a sentence; no text has a NUL."""
    return [_key("\0".join((*words, str(place)))) for place in range(len(words))]


def _key(text: str) -> bytes:
    return example_key(text.encode())
