"""Texts as a kind of data that sources read: files of one text each, and strings in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.clean import key
from quickstudy.domains.text.encoder import Encoded
from quickstudy.domains.text.pieces import Pieces
from quickstudy.errors import DataError
from quickstudy.files import read_text
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.sources.kind import Items, Kind

MOST = 1 << 24  # bytes of a file


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
        return _items(lambda rows: [_text(files[row]) for row in rows], Bytes(**options))

    def of_values(self, values: Sequence[Any], **options: Any) -> Items:  # type: ignore[override]
        return _items(lambda rows: [values[row] for row in rows], Bytes(**options))


TEXTS = Texts()


def _items(of: Callable[[list[int]], list[str]], reads: Bytes) -> Items:
    """The texts of rows; two are the same as far as `clean.key` tells them apart, whatever `length` leaves of them."""
    return Items(
        lambda rows, part: reads.read(of(rows), f"{part} texts"),
        reads,
        content=lambda rows: content_of(of(rows)),
    )


def content_of(texts: Iterable[str]) -> Content:
    """By what two texts are the same: their words, and not the bytes or the features that are read of them."""
    return Content.of_texts("texts", map(key, texts))


def _text(path: Path) -> str:
    return read_text(path, expected="a text in UTF-8", do="Save it as UTF-8, or leave it out.", limit=MOST, error=DataError)
