"""Bytes: a text as the numbers of its UTF-8 bytes, which every script and every emoji has. No vocabulary is learned or stored.

ids   =  the first `length` bytes of the text, then zeros            (length,), uint8; no text has the byte 0
mask  =  ids > 0                                                     which of them are of the text
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.clean import clean
from quickstudy.errors import DataWarning, ShapeError
from quickstudy.tasks.distribution.recorded import RecordedPreprocessing


@checked
@dataclass(frozen=True)
class Bytes(RecordedPreprocessing):
    """How a text becomes numbers: `read` once, when the tasks are made; `apply` as episodes are gathered.

    Args:
        length: bytes of a text at most; what is beyond is not read, and a warning says of how many texts.

    Raises:
        ArgumentError: a length below 1.

    Examples:
        >>> reads = qs.tasks.Bytes(length=4)
        >>> ids = reads.read(["on", "né"])
        >>> ids.tolist()
        [[111, 110, 0, 0], [110, 195, 169, 0]]
        >>> {name: one.tolist() for name, one in reads.apply(ids[:1]).items()}
        {'ids': [[111, 110, 0, 0]], 'mask': [[True, True, False, False]]}
    """

    asked: ClassVar[tuple[str, ...]] = ("length",)
    untrained: ClassVar[str] = "the n-grams"

    length: PositiveInt = 128

    def read(self, texts: Sequence[str], where: str = "texts") -> Tensor:
        """Texts as uint8 (texts, length).

        Raises:
            DataError: what is no text, see `clean`.
        """
        found, longer, most = torch.zeros(len(texts), self.length, dtype=torch.uint8), 0, 0
        for row, text in enumerate(texts):
            raw = clean(text, f"{where}[{row}]").encode()
            longer, most = longer + (len(raw) > self.length), max(most, len(raw))
            raw = raw[: self.length]
            found[row, : len(raw)] = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        if longer:
            said = f"{longer} of {len(texts)} are longer than {self.length} bytes, the longest of {most}: the rest is not read"
            warnings.warn(f"`{where}`: {said}. Give length= for more.", DataWarning, stacklevel=2)
        return found

    def plain_features(self) -> nn.Module:
        """The frequencies of n-grams, of weights that nobody learned."""
        from quickstudy.domains.text.encoders import NGramFrequencies

        return NGramFrequencies(features=0)

    def apply(self, x: Tensor) -> dict[str, Tensor]:
        """uint8 (..., length) as a learner sees it: ids, int64, and mask, bool, of that shape.

        Raises:
            ShapeError: rows of another length.
        """
        if x.shape[-1] != self.length:
            raise ShapeError(
                "x",
                expected=f"rows of {self.length} bytes",
                got=str(tuple(x.shape)),
                do="Bring texts into it with `read`.",
            )
        return {"ids": x.long(), "mask": x > 0}
