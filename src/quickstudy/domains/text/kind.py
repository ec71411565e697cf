"""Texts as a kind of data that sources read: files of one text each, and strings in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.encoder import Encoded
from quickstudy.errors import DataError
from quickstudy.files import read_text
from quickstudy.tasks.sources.kind import Items, Kind

MOST = 1 << 24  # bytes of a file


class Texts(Kind):
    """See `SourceOptions` for `length`."""

    name = "texts"
    options = frozenset({"length"})
    telling = frozenset({"length"})
    objects = True
    preprocessings = (Bytes, Encoded)

    def recognises(self, value: Any) -> bool:
        """A string."""
        return isinstance(value, str)

    def of_files(self, files: Sequence[Path], **options: Any) -> Items:
        reads = Bytes(**options)
        return Items(lambda rows, part: reads.read([_text(files[row]) for row in rows], f"{part} texts"), reads)

    def of_values(self, values: Sequence[Any], **options: Any) -> Items:  # type: ignore[override]
        reads = Bytes(**options)
        return Items(lambda rows, part: reads.read([values[row] for row in rows], f"{part} texts"), reads)


TEXTS = Texts()


def _text(path: Path) -> str:
    return read_text(path, expected="a text in UTF-8", do="Save it as UTF-8, or leave it out.", limit=MOST, error=DataError)
