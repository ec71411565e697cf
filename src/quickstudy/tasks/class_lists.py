"""Which classes train, validate and test: by fractions, by names, or by the published lists of the standard data sets.

A folder of lists has one file for each part (train, val or validation or valid, test), in one of the formats that were published:

    .csv     filename,label (miniImageNet: the classes are the labels) or class_name,image_name; without such a header the first
             column (tieredImageNet: wnid,super wnid)
    .json    [class, ...] (CUB; FC100's superclasses), [[superclass, class], ...] (CIFAR-FS),
             {"class_names": [...]} (CUB of easyfsl)
    .txt     one class a line

or is one .json file {"train": [...], "valid": [...], "test": [...]} (Meta-Dataset).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.errors import ArgumentError, DataError, TaskError
from quickstudy.tasks.splits import STEMS, Splits, random_split

Split = Sequence[float] | Mapping[str, Sequence[str]] | str | Path
FRACTIONS = (0.64, 0.16, 0.2)


def split_classes(names: Sequence[str], split: Split, seed: int) -> Splits:
    """The names of each part.

    Raises:
        ArgumentError, TaskError: fractions that cannot be, a part without a class.
        TaskError: a class that is not among `names`.
        DataError: lists that are not there or do not read.
    """
    if isinstance(split, str | Path):
        return _matched(names, read_class_lists(split), f"split={str(split)!r}")
    if isinstance(split, Mapping):
        if missing := [part for part in STEMS if part not in split]:
            raise ArgumentError(
                "split",
                expected="names for 'train', 'validation' and 'test'",
                got=f"none for {missing[0]!r}",
                do="Give a list of class names for each.",
            )
        return _matched(names, {part: list(split[part]) for part in STEMS}, "split")
    train, validation, test = random_split(names, split, seed=seed)
    return {"train": train, "validation": validation, "test": test}


def read_class_lists(path: str | Path) -> Splits:
    """The class names of a folder of lists, or of one file."""
    path = Path(path)
    if path.is_file():
        found = _parsed(path)
        if not isinstance(found, dict):
            raise _malformed(path, "a list where parts are needed")
        return {part: [str(one) for stem in stems for one in found.get(stem, [])] for part, stems in STEMS.items()}
    lists = {}
    for part, stems in STEMS.items():
        files = [path / f"{stem}{suffix}" for stem in stems for suffix in (".csv", ".json", ".txt")]
        there = [file for file in files if file.is_file()]
        if not there:
            raise DataError(
                f"split={str(path)!r}",
                expected=f"a folder that holds {stems[0]}.csv, {stems[0]}.json or {stems[0]}.txt",
                got="none in it" if path.is_dir() else "no such folder",
                do="Name a folder of class lists, or give fractions such as (0.64, 0.16, 0.2).",
            )
        lists[part] = _names(there[0])
    return lists


def _names(path: Path) -> list[str]:
    if path.suffix == ".txt":
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if path.suffix == ".csv":
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
        header = rows[0] if rows else []
        column = next((header.index(name) for name in ("label", "class_name") if name in header), None)
        values = [row[0] for row in rows] if column is None else [row[column] for row in rows[1:] if len(row) > column]
        return list(dict.fromkeys(values))
    found = _parsed(path)
    if isinstance(found, dict):
        found = found.get("class_names")
    if not isinstance(found, list):
        raise _malformed(path, "no list of classes")
    return ["/".join(map(str, one)) if isinstance(one, list) else str(one) for one in found]


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(path, str(error)) from error


def _matched(names: Sequence[str], wanted: Splits, argument: str) -> Splits:
    """The names there are for the wanted ones: equal, or equal in the last part of the path, or below a wanted superclass."""
    exact, last = set(names), dict[str, list[str]]()
    for name in names:
        last.setdefault(name.split("/")[-1], []).append(name)
    answer: Splits = {}
    for part, entries in wanted.items():
        found: dict[str, None] = {}
        for entry in entries:
            own = [entry] if entry in exact else last.get(entry) or last.get(entry.split("/")[-1]) or []
            own = own or [name for name in names if name.startswith(entry + "/")]
            if not own:
                known = ", ".join(names[:4])
                raise TaskError(
                    argument,
                    expected=f"names of the {len(names)} classes there are ({known}, ...)",
                    got=f"{entry!r} in {part}",
                    do="Check the spelling, or bring the class's data.",
                )
            found.update(dict.fromkeys(own))
        if not found:
            raise TaskError(argument, expected="classes in every part", got=f"none in {part}", do="Name some.")
        answer[part] = list(found)
    return answer


def _malformed(path: Path, got: str) -> DataError:
    return DataError(
        str(path), expected="a list of classes in a published format", got=got, do="Use the file as it was published."
    )
