"""Files of texts as a command gets them.

.csv                  a row each, the columns --text and --label
.jsonl, .ndjson       a JSON object a line, the fields --text and --label
.txt, .text           a text a line, to be named
a folder              a file each (.txt), in a folder for each class; to be named, in any folder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.cli.image_folders import labels_of
from quickstudy.cli.reader import Query, Reader, Record, Support
from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.clean import clean
from quickstudy.domains.text.encoder import Encoded, TextEncoder, encoded
from quickstudy.domains.text.json_lines import read_json_lines
from quickstudy.domains.text.kind import MOST, TEXTS
from quickstudy.domains.text.repeats import without_repeats
from quickstudy.errors import ArgumentError, DataError, nearest
from quickstudy.files import read_text
from quickstudy.tasks.sources.broken import together
from quickstudy.tasks.sources.csv_table import read_table
from quickstudy.tasks.sources.folders import class_folders, files_of

CSV, LINES, PLAIN = (".csv",), (".jsonl", ".ndjson"), (".txt", ".text")
SHOWN = 60  # characters of a text in a table


@dataclass(frozen=True)
class Row:
    """One text: where it is, in words and for an answer; the text or its file; its label, if it has one."""

    where: str
    place: Record
    source: Any  # a Path, or what should be a text
    label: str | None

    def read(self) -> str:
        """The text as an encoder reads it.

        Raises:
            DataError: a file that cannot be read, or what is no text.
        """
        text = self.source
        if isinstance(text, Path):
            text = read_text(text, expected="a text in UTF-8", do="Save it as UTF-8.", limit=MOST, error=DataError)
        return clean(text, self.where)


class TextReader(Reader):
    """Texts, in a table, in lines or in files.

    Args:
        preprocessing: of the run.
        encoder: the frozen encoder of a run on its features; None for a run on bytes.
        text, label: the columns of a CSV, the fields of JSON lines.

    Raises:
        ArgumentError: an encoder beside a run on bytes, none beside a run on features.
        CheckpointError: another encoder than the run's.
    """

    kind, labelled = "texts", "texts with a label of the support"
    mislabelled = "Is it labelled right?"

    def __init__(self, preprocessing: Bytes | Encoded, encoder: TextEncoder | None, text: str, label: str):
        if isinstance(preprocessing, Bytes) != (encoder is None):
            needs = (
                "no encoder, since the run reads bytes" if encoder else "the folder of the encoder that the run was trained on"
            )
            got, do = ("one", "Leave it out.") if encoder else ("none", "Give --encoder FOLDER.")
            raise ArgumentError("--encoder", expected=needs, got=got, do=do)
        if isinstance(preprocessing, Encoded) and encoder is not None:
            preprocessing.check(encoder)
        self._preprocessing, self.encoder, self.text, self.label = preprocessing, encoder, text, label

    @property
    def preprocessing(self) -> Bytes | Encoded:
        """The run's."""
        return self._preprocessing

    def support(self, path: Path) -> Support:
        """The labelled texts. One that is there twice is kept once; one in two classes is refused."""
        rows, texts, broken = _readable(self._labelled(path))
        if broken:
            raise together(broken, str(path))
        labels = [row.label or "" for row in rows]
        kept = without_repeats(texts, labels)
        names = sorted({labels[place] for place in kept})
        records = [{"text": texts[place], **rows[place].place} for place in kept]
        y = torch.tensor([names.index(labels[place]) for place in kept])
        return Support(names, records, self._read([texts[place] for place in kept], "--support"), y)

    def query(self, path: Path, names: list[str]) -> Query:
        """The texts to name, with their labels where they have some."""
        rows, texts, broken = _readable(self._any(path, names))
        if not rows:
            raise together(broken, f"--query {path}")
        records = [{"text": text, **row.place} for row, text in zip(rows, texts, strict=True)]
        labels = [row.label if row.label in names else None for row in rows]
        return Query(records, self._read(texts, "--query"), labels, broken)

    def shown(self, record: Record) -> str:
        text = " ".join(record["text"].split())
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

    def _labelled(self, path: Path) -> list[Row]:
        if path.is_dir():
            folders = class_folders(path, TEXTS)
            return [_of_file(file, name) for name, files in folders.items() for file in files]
        if path.suffix.lower() in PLAIN:
            do = "Give a CSV with the columns `text` and `label`, JSON lines, or a folder of .txt files for each class."
            raise DataError(str(path), expected="texts with labels", got="a file of texts alone", do=do)
        return self._table(path, labelled=True)

    def _any(self, path: Path, names: list[str]) -> list[Row]:
        if path.is_dir():
            files = files_of(path, TEXTS)
            return [_of_file(file, label) for file, label in zip(files, labels_of(files, path, names), strict=True)]
        if path.suffix.lower() in PLAIN:
            content = read_text(path, expected="texts in UTF-8, one a line", do="Save it as UTF-8.", limit=MOST, error=DataError)
            lines = enumerate(content.split("\n"), 1)
            return [Row(f"{path}, line {number}", {"line": number}, line, None) for number, line in lines if line.strip()]
        return self._table(path, labelled=False)

    def _table(self, path: Path, *, labelled: bool) -> list[Row]:
        """The rows of a CSV or of JSON lines; without a text where one has none, so that it is named with the others."""
        suffix = path.suffix.lower()
        if suffix not in CSV + LINES:
            got = "no such path" if not path.exists() else f"a file ending in {suffix or 'nothing'}"
            known = ", ".join(CSV + LINES + PLAIN)
            raise DataError(str(path), expected=f"a folder, or a file of texts: {known}", got=got, do="Check the path.")
        if suffix in LINES:
            numbered = read_json_lines(path)
            header = list(dict.fromkeys(name for _, row in numbered for name in row))
        else:
            table = read_table(path)
            numbered = [(number, dict(zip(table.header, row, strict=False))) for number, row in table.rows]
            header = table.header
        for option, name in (("--text", self.text), *((("--label", self.label),) if labelled else ())):
            if name not in header:
                got = f"{', '.join(header)[:100] or 'no header'}"
                do = f"Say which it is with {option} NAME. {nearest(name, header)}"
                raise DataError(str(path), expected=f"the {'field' if suffix in LINES else 'column'} {name!r}", got=got, do=do)
        if not numbered:
            raise DataError(str(path), expected="rows below the header", got="none", do="Write a text into each row.")
        rows = []
        for number, one in numbered:
            label = one.get(self.label)
            named = None if label is None or not str(label).strip() else str(label).strip()
            where = f"{path}, line {number}"
            if labelled and named is None:
                raise DataError(where, expected=f"a label in {self.label!r}", got="none", do="Give one, or leave the row out.")
            rows.append(Row(where, {"line": number}, one.get(self.text, ""), named))
        return rows

    def _read(self, texts: Sequence[str], where: str) -> Tensor:
        if self.encoder is not None:
            return encoded(texts, self.encoder, progress=False, where=where)
        assert isinstance(self.preprocessing, Bytes)
        return self.preprocessing.read(texts, where)


def is_texts(path: Path) -> bool:
    """Whether a file is one of texts, by its name."""
    return path.suffix.lower() in CSV + LINES + PLAIN


def _of_file(file: Path, label: str | None) -> Row:
    return Row(str(file), {"file": str(file)}, file, label)


def _readable(rows: Sequence[Row]) -> tuple[list[Row], list[str], list[DataError]]:
    """The rows whose text can be read, their texts, and an error for each other row."""
    found, texts, broken = [], [], []
    for row in rows:
        try:
            texts.append(row.read())
            found.append(row)
        except DataError as error:
            broken.append(error)
    return found, texts, broken
