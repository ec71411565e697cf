"""Strings: a text as its bytes, whole or not at all, for learners that answer with strings.

ids   =  the bytes of the text, then zeros       (length,)
mask  =  ids > 0                                 which of them are of the text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.clean import SHOWN, clean
from quickstudy.episode import Examples
from quickstudy.errors import DataError, ShapeError
from quickstudy.targets import Tokens

TARGET = Tokens(256, text=True)


@checked
@dataclass(frozen=True)
class Strings:
    """How strings become rows of bytes: `pairs` to learn from, `inputs` to ask about.

    A string that is too long is refused: half of one would be answered wrongly without a word.

    Args:
        length: bytes of a row; a letter of ASCII is one, others are two to four.

    Raises:
        ArgumentError: a length below 1.

    Examples:
        >>> strings = qs.tasks.Strings(length=8)
        >>> strings.pairs(["3.7.24"], ["03/07/24"])
        Examples(x={'ids': (1, 8), 'mask': (1, 8)}, y=(1, 8), Tokens(vocabulary=256, text=True))
        >>> strings.inputs(["3.7.24"])["ids"]
        tensor([[51, 46, 55, 46, 50, 52,  0,  0]])
    """

    length: PositiveInt = 32

    def read(self, texts: Sequence[Any], where: str = "texts") -> Tensor:
        """Texts as uint8 (texts, length).

        Raises:
            DataError: what is no text, see `clean`; a text of more bytes than `length`.
        """
        if isinstance(texts, str):
            raise DataError(where, expected="a list of strings", got=f"one string, {texts[:SHOWN]!r}", do="Give [text].")
        rows = [clean(text, f"{where}[{row}]").encode() for row, text in enumerate(texts)]
        for row, raw in enumerate(rows):
            if len(raw) > self.length:
                raise DataError(
                    f"{where}[{row}]",
                    expected=f"at most {self.length} bytes, the length of a row",
                    got=f"{len(raw)} bytes, {raw.decode()[:SHOWN]!r}",
                    do="Give shorter strings, or meta-train a learner with a larger length=.",
                )
        raw = b"".join(row.ljust(self.length, b"\0") for row in rows)
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(-1, self.length) if rows else _none(self.length)

    def apply(self, x: Tensor) -> dict[str, Tensor]:
        """uint8 (..., length) as a learner sees it: ids, int64, and mask, bool, of that shape.

        Raises:
            ShapeError: rows of another length.
        """
        return Bytes(self.length).apply(x)

    def inputs(self, texts: Sequence[Any], where: str = "inputs") -> dict[str, Tensor]:
        """Strings as a learner's x. Raises as `read` does."""
        return self.apply(self.read(texts, where))

    def pairs(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Examples:
        """Strings, and what becomes of each, as examples of `Tokens`.

        Raises:
            DataError: as `read`.
            ShapeError: not one output for each input.
        """
        x, y = self.read(inputs, "inputs"), self.read(outputs, "outputs")
        if len(x) != len(y):
            got = f"{len(x)} and {len(y)}"
            raise ShapeError("inputs, outputs", expected="an output for each input", got=got, do="Give as many of both.")
        return Examples(self.apply(x), y.long(), target=TARGET)


def _none(length: int) -> Tensor:
    return torch.empty(0, length, dtype=torch.uint8)


def as_pairs(examples: Mapping[str, str] | Sequence[Any]) -> tuple[list[str], list[str]]:
    """Inputs and outputs of examples, a mapping or pairs.

    Raises:
        DataError: something that is no pair.
    """
    pairs = list(examples.items() if isinstance(examples, Mapping) else examples)
    for row, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2:
            do = 'Give {"given": "wanted"}, or a list of such pairs.'
            raise DataError(f"examples[{row}]", expected="a string and what becomes of it", got=repr(pair)[:SHOWN], do=do)
    return [given for given, _ in pairs], [wanted for _, wanted in pairs]
