"""Texts as a kind of data that sources read: files of one text each, and strings in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.clean import clean, key
from quickstudy.domains.text.encoder import Encoded
from quickstudy.domains.text.pieces import Pieces
from quickstudy.errors import DataError
from quickstudy.files import read_text
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.sources.broken import BrokenItems
from quickstudy.tasks.sources.kind import Items, Kind

MOST = 1 << 24  # bytes of a file
SHOWN = 60  # characters of a text in a message


class Texts(Kind):
    """See `SourceOptions` for `length`."""

    name = "texts"
    options = frozenset({"length"})
    telling = frozenset({"length"})
    objects = True
    preprocessings = (Bytes, Encoded, Pieces)

    def recognises(self, value: Any) -> bool:
        """Never: a string may as well be a number that was read as text. Say kind="texts"."""
        return False

    def of_files(self, files: Sequence[Path], **options: Any) -> Items:
        return _items(lambda row: clean(_text(files[row]), str(files[row])), Bytes(**options))

    def of_values(self, values: Sequence[Any], **options: Any) -> Items:  # type: ignore[override]
        return _items(lambda row: clean(values[row], f"texts[{row}]"), Bytes(**options))


TEXTS = Texts()


def _items(of: Callable[[int], str], reads: Bytes) -> Items:
    """The texts of rows; two are the same as far as `clean.key` tells them apart, whatever `length` leaves of them."""

    def take(rows: list[int], part: str) -> Tensor:
        texts, broken = _readable(of, rows)
        x = reads.read(texts, f"{part} texts")
        if broken:
            raise BrokenItems(broken, x)
        return x

    return Items(
        take,
        reads,
        content=lambda rows: content_of(_or_nothing(of, row) for row in rows),
        shown=lambda row: repr(of(row)[:SHOWN]),
    )


def _readable(of: Callable[[int], str], rows: list[int]) -> tuple[list[str], dict[int, DataError]]:
    """The texts that can be read, and an error for each other place."""
    texts, broken = [], dict[int, DataError]()
    for place, row in enumerate(rows):
        try:
            texts.append(of(row))
        except DataError as error:
            broken[place] = error
    return texts, broken


def _or_nothing(of: Callable[[int], str], row: int) -> str:
    texts, _ = _readable(of, [row])
    return texts[0] if texts else ""


def content_of(texts: Iterable[str]) -> Content:
    """By what two texts are the same: their words, and not the bytes or the features that are read of them."""
    return Content.of_texts("texts", map(key, texts))


def _text(path: Path) -> str:
    return read_text(path, expected="a text in UTF-8", do="Save it as UTF-8, or leave it out.", limit=MOST, error=DataError)
