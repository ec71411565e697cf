"""from_csv: a table of image files and labels as few-shot tasks, as the lists of miniImageNet are."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quickstudy.errors import DataError, TaskError
from quickstudy.tasks.class_lists import FRACTIONS, Split
from quickstudy.tasks.distribution import LabelledTasks
from quickstudy.tasks.family import TaskFamily
from quickstudy.tasks.from_folder import from_files
from quickstudy.tasks.preprocessing import Preprocessing
from quickstudy.tasks.size import Size
from quickstudy.tasks.splits import STEMS

COLUMNS = (("filename", "label"), ("image_name", "class_name"))


def from_csv(
    path: str | Path,
    *,
    images: str | Path | None = None,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split = FRACTIONS,
    seed: int = 0,
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    augment: Sequence[Any] = (),
    transform: Sequence[Any] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a CSV with the columns `filename,label` or `class_name,image_name`.

    Args:
        path: the CSV; or a folder with train.csv, val.csv and test.csv, and then `split` and `seed` are not used.
        images: where the files lie; None: `images/` beside the CSV, or beside the CSV itself. A file of class_name,image_name may
            lie in a folder of its class.
        size, channels, invert, normalise: see `from_folder`; the rest: see `from_arrays`.

    Raises:
        DataError: no such file, no header, a column that is missing (the nearest one there is named), a path that is not there.
        TaskError: a class in two of train.csv, val.csv and test.csv.
    """
    path = Path(path)
    tables = [
        next((path / f"{stem}.csv" for stem in stems if (path / f"{stem}.csv").is_file()), None) for stems in STEMS.values()
    ]
    if path.is_dir() and all(tables):
        rows: list[tuple[Path, str]] = []
        names: dict[str, list[str]] = {}
        for part, table in zip(STEMS, tables, strict=True):
            own = _rows(table, images)  # type: ignore[arg-type]
            names[part] = list(dict.fromkeys(label for _, label in own))
            if shared := sorted(set(names[part]) & {label for _, label in rows}):
                raise TaskError(
                    str(table), expected="classes of this part alone", got=f"{shared[0]!r} in another", do="Remove it from one."
                )
            rows += own
        split = names
    else:
        rows = _rows(path, images)
    reads = Preprocessing(size, channels, invert)
    protocol = {"ways": ways, "shots": shots, "queries": queries, "split": split, "seed": seed}
    files, labels = [file for file, _ in rows], [label for _, label in rows]
    return from_files(files, labels, reads, normalise=normalise, augment=augment, transform=transform, **protocol)


def _rows(path: Path, images: str | Path | None) -> list[tuple[Path, str]]:
    """The image file and the label of each row."""
    if not path.is_file():
        got = "a folder without train.csv, val.csv and test.csv" if path.is_dir() else "no such file"
        raise DataError(str(path), expected="a CSV file", got=got, do="Give the path of the CSV.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = list(csv.reader(text.splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), expected="a CSV in UTF-8", got=str(error), do="Save it as CSV, UTF-8.") from error
    header = [name.strip() for name in table[0]] if table else []
    file_column, label_column = _columns(path, header)
    folder = Path(images) if images is not None else path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    rows = []
    for number, row in enumerate(table[1:], 2):
        if not row:
            continue
        if len(row) <= max(file_column, label_column):
            raise DataError(
                f"{path}, line {number}",
                expected=f"{len(header)} values",
                got=f"{len(row)}: {','.join(row)[:60]!r}",
                do="Complete the row.",
            )
        rows.append((_file(folder, row[file_column].strip(), row[label_column].strip(), path, number), row[label_column].strip()))
    if not rows:
        raise DataError(str(path), expected="rows below the header", got="none", do="Name an image and its label in each row.")
    return rows


def _columns(path: Path, header: list[str]) -> tuple[int, int]:
    for file_name, label_name in COLUMNS:
        if file_name in header and label_name in header:
            return header.index(file_name), header.index(label_name)
    wanted = next((pair for pair in COLUMNS if set(pair) & set(header)), COLUMNS[0])
    missing = next(name for name in wanted if name not in header)
    close = difflib.get_close_matches(missing, header, 1, 0.4)
    raise DataError(
        str(path),
        expected=f"the columns {wanted[0]} and {wanted[1]} (or class_name and image_name)",
        got=f"{', '.join(header)[:100] or 'no header'}: {missing!r} is missing",
        do=f"Rename {close[0]!r} to {missing!r}." if close else "Write the names of the columns into the first line.",
    )


def _file(folder: Path, name: str, label: str, path: Path, number: int) -> Path:
    for file in (folder / name, folder / label / name):
        if name and file.is_file():
            return file
    raise DataError(
        f"{path}, line {number}",
        expected=f"an image in {folder}",
        got=f"{name!r}, which is not there",
        do="Name the folder of the images with `images=`.",
    )
