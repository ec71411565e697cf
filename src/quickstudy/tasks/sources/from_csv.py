"""from_csv: a table with a label in each row as few-shot tasks: files, texts or numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Unpack

import torch

from quickstudy.arguments import checked
from quickstudy.calls import remembered
from quickstudy.errors import ArgumentError, DataError
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.rows import gathered
from quickstudy.tasks.distribution.splits import STEMS, Splits
from quickstudy.tasks.sources.csv_table import Table, read_table
from quickstudy.tasks.sources.guess import call_for
from quickstudy.tasks.sources.kind import Items, check_options, kind_named, kind_of_file
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions, parted
from quickstudy.tasks.sources.source import family_of

COLUMNS = (("filename", "label"), ("image_name", "class_name"))  # the columns of files and labels, when none is named


@remembered
@checked
@hands_on(SourceOptions, Protocol, **READING)
def from_csv(
    path: str | Path,
    *,
    filename: str | None = None,
    text: str | None = None,
    features: str | Sequence[str] | None = None,
    label: str | None = None,
    folder: str | Path | None = None,
    kind: str | None = None,
    **options: Unpack[SourceOptions],
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a CSV: inputs in one or more columns, labels in another.

    Every other column whose rows are complete is one that `within` can name.

    One of `filename`, `text` and `features` names the inputs; with none of them the columns are `filename` and `label`, or
    `image_name` and `class_name`, as in the lists of miniImageNet.

    Args:
        path: the CSV; or a folder with train.csv, val.csv (or validation.csv, valid.csv) and test.csv.
        filename: the column of files.
        text: the column of texts.
        features: the columns of numbers: one or more globs over their names ("*": all but the label and
            that of `within`).
        label: the column of labels; None: "label".
        folder: the folder of the files; None: `images/` beside the CSV, or the CSV's own folder. A file may be in a subfolder
            named after its class.
        kind: of the files; None: by their suffixes.

    Other Args:
        options: see `SourceOptions`. `split` None: train.csv, val.csv and test.csv if present.

    Raises:
        DataError: no such file, no header, a missing column (the message names the nearest one), a missing path, files of
            several kinds, a file that cannot be read, a feature that is not a number.
        UnsupportedError: a kind that no installed domain reads.
        LabelError, TaskError, ArgumentError: see `from_arrays`.

    Examples:
        >>> with open("flowers.csv", "w") as file:
        ...         print("width,height,label", file=file)
        ...         for number in range(60):
        ...             print(number, -number, "abcdef"[number % 6], sep=",", file=file)
        >>> tasks = qs.tasks.from_csv("flowers.csv", features="*", ways=2, shots=1, queries=5, split=(2, 2, 2))
        >>> tasks.train.sample(4).query.x.shape
        torch.Size([4, 10, 2])
    """
    asked = _asked(filename, text, features)
    path = Path(path)
    protocol, given = parted(options)
    found = {
        part: next((path / f"{stem}.csv" for stem in stems if (path / f"{stem}.csv").is_file()), None)
        for part, stems in STEMS.items()
    }
    tables = {part: read_table(one) for part, one in found.items() if one} if all(found.values()) else {"all": read_table(path)}
    labels: list[str] = []
    parts: Splits = {}
    for part, table in tables.items():
        part_labels = table.column(_columns(table, filename, asked)[1] if label is None else label)
        parts[part] = list(dict.fromkeys(part_labels))
        labels += part_labels
    if text is not None:
        reads = kind_named("texts" if kind is None else kind)
        check_options(reads, given)
        items = reads.of_values([value for table in tables.values() for value in table.column(text)], **given)
    elif features is not None:
        items = _numbers(tables, features, {label or "label", protocol.within}, kind, given)
    else:
        files = [file for table in tables.values() for file in _files(table, filename, label, folder)]
        reads = kind_named(_kind_of(files, path) if kind is None else kind)
        check_options(reads, given)
        items = reads.of_files(files, **given)
    taken = {filename, text, label} | set(_features(next(iter(tables.values())), features or (), {protocol.within}))
    columns = _others(tables, protocol.within, taken)
    return family_of(labels, items, protocol, parts=None if "all" in parts else parts, columns=columns)


def _others(tables: Mapping[str, Table], within: str | None, taken: Set[str | None]) -> dict[str, list[str]]:
    """The columns of all tables, by name, but for those of inputs and labels; of `within` each row must have a value."""
    names = [name for name in next(iter(tables.values())).header if all(name in table.header for table in tables.values())]
    known = taken | {name for pair in COLUMNS for name in pair}
    full = {name for name in names if all(table.full(name) for table in tables.values())}
    wanted = [name for name in names if name not in known and (name == within or name in full)]
    return {name: [value for table in tables.values() for value in table.column(name)] for name in wanted}


# ---- the columns named ---------------------------------------------------------------------------------------------------


def _asked(filename: str | None, text: str | None, features: str | Sequence[str] | None) -> bool:
    """Whether a column of inputs is named; ArgumentError if two are."""
    named = {"filename": filename, "text": text, "features": features}
    given = [f"{name}={value!r}" for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise ArgumentError(
            "filename, text, features",
            expected="one of them: what is seen of an example",
            got=" and ".join(given),
            do="Leave the others out.",
        )
    return bool(given)


def _columns(table: Table, filename: str | None, asked: bool) -> tuple[str, str]:
    """The columns of files and of labels, if `label` is not named."""
    if asked:
        return filename or "", "label"
    known = next((pair for pair in COLUMNS if set(pair) <= set(table.header)), None)
    if known is None:
        wanted = next((pair for pair in COLUMNS if set(pair) & set(table.header)), COLUMNS[0])
        other = "{} and {}".format(*COLUMNS[wanted == COLUMNS[0]])
        missing = next(name for name in wanted if name not in table.header)
        if missing == wanted[0] and (call := call_for(table.header, [row for _, row in table.rows], table.path)):
            raise DataError(
                str(table.path),
                expected=f"the columns {wanted[0]} and {wanted[1]} (or {other})",
                got=f"{', '.join(table.header)[:100]}: {missing!r} is missing",
                do=call,
            )
        raise table.missing(missing, f"the columns {wanted[0]} and {wanted[1]} (or {other})", others=wanted)
    return known


# ---- files, numbers ------------------------------------------------------------------------------------------------------


def _files(table: Table, filename: str | None, label: str | None, folder: str | Path | None) -> list[Path]:
    beside = table.path.parent / "images"
    root = Path(folder) if folder is not None else beside if beside.is_dir() else table.path.parent
    file_column, label_column = _columns(table, filename, filename is not None or label is not None)
    names, labels = table.column(file_column or "filename"), table.column(label or label_column)
    lines = [f"{table.path}, line {number}" for number, _ in table.rows]
    return [_file(root, *one) for one in zip(names, labels, lines, strict=True)]


def _file(folder: Path, name: str, label: str, line: str) -> Path:
    for file in (folder / name, folder / label / name):
        if os.path.isfile(file):
            return file
    raise DataError(
        line,
        expected=f"a file in {folder}",
        got=f"{name[:100]!r}, which is not there",
        do="Name the folder of the files with `folder=`.",
    )


def _kind_of(files: Sequence[Path], path: Path) -> str:
    found = {kind_of_file(file): file for file in reversed(files)}
    if len(found) == 1 and None not in found:
        return str(next(iter(found)))
    raise DataError(
        str(path),
        expected="files of one kind that a suffix tells",
        got=" and ".join(f"{kind or 'no kind'} ({file.name})" for kind, file in found.items()),
        do="Say with kind= what they are, or leave rows out.",
    )


def _numbers(
    tables: dict[str, Table], features: str | Sequence[str], beside: Set[str | None], kind: str | None, given: dict[str, Any]
) -> Items:
    """The columns that the globs name, but for those `beside` them, as rows of numbers."""
    for name, value in {"kind": kind, **given}.items():
        if value is not None:
            raise ArgumentError(name, expected="no such option beside `features`", got=repr(value), do="Leave it out.")
    patterns = [features] if isinstance(features, str) else list(features)
    rows: list[list[float]] = []
    first: list[str] | None = None
    for table in tables.values():
        names = _features(table, patterns, beside)
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise table.missing(pattern, f"a column that matches {pattern!r}", others=())
        if first is not None and names != first:
            raise DataError(
                str(table.path),
                expected=f"the columns {', '.join(first)[:100]}",
                got=", ".join(names)[:100],
                do="Mend its header.",
            )
        first = names
        columns = [[_number(*one, name, table) for one in zip(table.column(name), table.rows, strict=True)] for name in names]
        rows += [list(row) for row in zip(*columns, strict=True)]
    x = torch.tensor(rows)
    check_x(x)
    return Items(lambda chosen, part: gathered(x, torch.tensor(chosen)))


def _features(table: Table, patterns: str | Sequence[str], beside: Set[str | None]) -> list[str]:
    """The columns that a glob matches, but for those `beside`."""
    globs = [patterns] if isinstance(patterns, str) else patterns
    return [name for name in table.header if name not in beside and any(fnmatchcase(name, glob) for glob in globs)]


def _number(value: str, row: tuple[int, list[str]], name: str, table: Table) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise DataError(
            f"{table.path}, line {row[0]}",
            expected=f"a number in the column {name}",
            got=repr(value[:60]),
            do="Leave the column out of `features`, or write numbers.",
        ) from error
