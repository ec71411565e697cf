"""A CSV file as a table: its header, and its rows with the numbers of their lines. What is missing is named with its line."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quickstudy.errors import DataError


@dataclass(frozen=True)
class Table:
    """A CSV: its header, and its rows with the numbers of their lines."""

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def column(self, name: str) -> list[str]:
        """The values of a column, in every row."""
        if name not in self.header:
            raise self.missing(name, f"the column {name}", others=())
        if not self.rows:
            raise DataError(
                str(self.path),
                expected="rows below the header",
                got="none",
                do="Write what is seen and its label into each row.",
            )
        place = self.header.index(name)
        for number, row in self.rows:
            if len(row) <= place or not row[place].strip():
                raise DataError(
                    f"{self.path}, line {number}",
                    expected=f"{len(self.header)} values",
                    got=f"{len(row)}: {','.join(row)[:60]!r}",
                    do="Complete the row.",
                )
        return [row[place].strip() for _, row in self.rows]

    def full(self, name: str) -> bool:
        """Whether every row has a value in a column."""
        place = self.header.index(name)
        return all(len(row) > place and row[place].strip() for _, row in self.rows)

    def missing(self, name: str, expected: str, others: Sequence[str]) -> DataError:
        """The error for a missing column: it names the nearest existing one."""
        argument = {"filename": "filename", "image_name": "filename", "label": "label", "class_name": "label"}.get(name)
        close = difflib.get_close_matches(name, [one for one in self.header if one not in others], 1, 0.4)
        return DataError(
            str(self.path),
            expected=expected,
            got=f"{', '.join(self.header)[:100] or 'no header'}: {name!r} is missing",
            do=f"Rename {close[0]!r} to {name!r}, or {f'give {argument}={close[0]!r}' if argument else 'name it'}."
            if close
            else "Write the names of the columns into the first line, or name the column that it is.",
        )


def read_table(path: Path) -> Table:
    """Read a CSV in UTF-8.

    Raises:
        DataError: no such file, another encoding, a line that is no CSV.
    """
    if not os.path.isfile(path):
        got = "a folder without train.csv, val.csv and test.csv" if os.path.isdir(path) else "no such file"
        raise DataError(str(path), expected="a CSV file", got=got, do="Give the path of the CSV.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), expected="a CSV in UTF-8", got=str(error), do="Save it as CSV, UTF-8.") from error
    header = [name.strip() for name in lines[0]] if lines else []
    rows = [(number, row) for number, row in enumerate(lines[1:], 2) if row]
    return Table(path, header, rows)
