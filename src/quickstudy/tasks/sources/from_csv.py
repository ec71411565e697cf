"""from_csv: a table of image files and labels as few-shot tasks, as the lists of miniImageNet are."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Sequence
from pathlib import Path

from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import STEMS, Splits
from quickstudy.tasks.sources.from_folder import from_files
from quickstudy.tasks.sources.source import Augment, Protocol

COLUMNS = (("filename", "label"), ("image_name", "class_name"))


def from_csv(
    path: str | Path,
    *,
    images: str | Path | None = None,
    columns: tuple[str, str] | None = None,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split | None = None,
    seed: int = 0,
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    augment: Augment = (),
    transform: Sequence[Transform] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a CSV with the columns `filename,label` or `class_name,image_name`.

    Args:
        path: the CSV; or a folder with train.csv, val.csv (or validation.csv, valid.csv) and test.csv.
        images: where the files lie; None: `images/` beside the CSV, or beside the CSV itself. A file may lie in a folder of its
            class there.
        columns: the names of the columns of files and of labels, where they are others.
        split: see `from_arrays`; None: train.csv, val.csv and test.csv where there are such, else (0.64, 0.16, 0.2).
        size, channels, invert, normalise: see `from_folder`; the rest: see `from_arrays`.

    Raises:
        DataError: no such file, no header, a column that is missing (the nearest one there is named), a path that is not there,
            an image that cannot be read.
        LabelError, TaskError, ArgumentError: see `from_arrays`.
    """
    path = Path(path)
    tables = {
        part: next((path / f"{stem}.csv" for stem in stems if (path / f"{stem}.csv").is_file()), None)
        for part, stems in STEMS.items()
    }
    rows: list[tuple[Path, str]] = []
    parts: Splits = {}
    for part, table in tables.items() if all(tables.values()) else [("all", path)]:
        own = _rows(table or path, images, columns)
        parts[part] = list(dict.fromkeys(label for _, label in own))
        rows += own
    protocol = Protocol(ways, shots, queries, split, seed, augment, transform)
    reads = Preprocessing(size, channels, invert)
    files, labels = [file for file, _ in rows], [label for _, label in rows]
    return from_files(files, labels, reads, protocol, normalise=normalise, parts=None if "all" in parts else parts)


def _rows(path: Path, images: str | Path | None, columns: tuple[str, str] | None) -> list[tuple[Path, str]]:
    """The image file and the label of each row."""
    if not os.path.isfile(path):
        got = "a folder without train.csv, val.csv and test.csv" if os.path.isdir(path) else "no such file"
        raise DataError(str(path), expected="a CSV file", got=got, do="Give the path of the CSV.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        table = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), expected="a CSV in UTF-8", got=str(error), do="Save it as CSV, UTF-8.") from error
    header = [name.strip() for name in table[0]] if table else []
    file_column, label_column = _columns(path, header, columns)
    beside = path.parent / "images"
    folder = Path(images) if images is not None else beside if beside.is_dir() else path.parent
    rows = []
    for number, row in enumerate(table[1:], 2):
        if not row:
            continue
        if len(row) <= max(file_column, label_column) or not row[label_column].strip():
            raise DataError(
                f"{path}, line {number}",
                expected=f"{len(header)} values",
                got=f"{len(row)}: {','.join(row)[:60]!r}",
                do="Complete the row.",
            )
        label = row[label_column].strip()
        rows.append((_file(folder, row[file_column].strip(), label, f"{path}, line {number}"), label))
    if not rows:
        raise DataError(str(path), expected="rows below the header", got="none", do="Name an image and its label in each row.")
    return rows


def _columns(path: Path, header: list[str], asked: tuple[str, str] | None) -> tuple[int, int]:
    known = COLUMNS if asked is None else (asked,)
    for file_name, label_name in known:
        if file_name in header and label_name in header:
            return header.index(file_name), header.index(label_name)
    wanted = next((pair for pair in known if set(pair) & set(header)), known[0])
    missing = next(name for name in wanted if name not in header)
    close = difflib.get_close_matches(missing, [name for name in header if name not in wanted], 1, 0.4)
    near = close[0] if close else "..."
    instead = tuple(near if name == missing else name for name in wanted)
    raise DataError(
        str(path),
        expected=f"the columns {wanted[0]} and {wanted[1]}"
        + ("" if asked else " (or {} and {})".format(*COLUMNS[wanted == COLUMNS[0]])),
        got=f"{', '.join(header)[:100] or 'no header'}: {missing!r} is missing",
        do=(f"Rename {near!r} to {missing!r}" if close else "Write the names of the columns into the first line")
        + f", or give columns={instead}.",
    )


def _file(folder: Path, name: str, label: str, line: str) -> Path:
    for file in (folder / name, folder / label / name):
        if name and os.path.isfile(file):
            return file
    raise DataError(
        line,
        expected=f"an image in {folder}",
        got=f"{name[:100]!r}, which is not there",
        do="Name the folder of the images with `images=`.",
    )
