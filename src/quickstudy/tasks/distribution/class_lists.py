"""Which classes train, validate and test: by fractions, by names, or by the published lists of the standard data sets.

A folder of lists has one file for each part (train, val or validation or valid, test), in one of the formats that were published:

    .csv     filename,label (miniImageNet: the classes are the labels) or class_name,image_name; without such a header the first
             column (tieredImageNet: wnid,super wnid)
    .json    [class, ...] (CUB; FC100's superclasses), [[superclass, class], ...] (CIFAR-FS),
             {"class_names": [...]} (CUB of easyfsl), {part: {superclass: [class, ...]}} (Omniglot of Torchmeta)
    .txt     one class per line

or is one .json file {"train": [...], "valid": [...], "test": [...]} (Meta-Dataset).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, DataError
from quickstudy.files import parsed, read_text
from quickstudy.tasks.distribution.class_names import matched
from quickstudy.tasks.distribution.splits import STEMS, Splits, random_split

Split = Sequence[float] | Mapping[str, Sequence[str | int]] | str | Path
FRACTIONS = (0.64, 0.16, 0.2)
SUFFIXES = (".csv", ".json", ".txt")
EXPECTED, DO = "a list of classes in a published format", "Use the file as it was published."


def split_classes(names: Sequence[str], split: Split, seed: int, do: str | None = None) -> Splits:
    """The class names of each part, in the order of the split. `do`: what errors propose where the classes are too few.

    Raises:
        ArgumentError, TaskError: invalid fractions; a part without a class.
        TaskError: a class that matches none of `names`, or several.
        DataError: lists that are missing or cannot be read.
    """
    if isinstance(split, str | Path):
        return matched(names, read_class_lists(split), f"split={str(split)!r}")
    if isinstance(split, Mapping):
        return matched(names, _given(split), "split")
    if len(split) != 3:
        raise ArgumentError(
            "split",
            expected="three parts: to train, to validate and to test",
            got=repr(tuple(split)),
            do="Give for example split=(0.64, 0.16, 0.2).",
        )
    train, validation, test = random_split(names, split, seed=seed, argument="split", do=do)
    return {"train": train, "validation": validation, "test": test}


@checked
def read_class_lists(path: str | Path) -> Splits:
    """The class names of a folder of lists, or of one file.

    Raises:
        DataError: a list that is missing or in none of the formats above.
    """
    path = Path(path)
    if path.is_file():
        found = _parsed(path)
        if not isinstance(found, dict) or not all(isinstance(part, list) for part in found.values()):
            raise _malformed(path, "a list where parts are needed")
        return {part: [str(one) for stem in stems for one in found.get(stem, [])] for part, stems in STEMS.items()}
    lists = {}
    for part, stems in STEMS.items():
        there = [file for stem in stems for suffix in SUFFIXES if (file := path / f"{stem}{suffix}").is_file()]
        if not there:
            raise DataError(
                f"split={str(path)!r}",
                expected=f"a folder that holds {stems[0]}.csv, {stems[0]}.json or {stems[0]}.txt",
                got="none in it" if path.is_dir() else "no such folder",
                do="Name a folder of class lists, or give fractions such as (0.64, 0.16, 0.2).",
            )
        lists[part] = _names(there[0])
    return lists


def _given(split: Mapping[str, Sequence[str | int]]) -> Splits:
    """The parts of a mapping; validation may be called val or valid."""
    given: Splits = {}
    for part, stems in STEMS.items():
        key = next((stem for stem in stems if stem in split), None)
        if key is None or isinstance(split[key], str):
            raise ArgumentError(
                "split",
                expected="names for 'train', 'validation' and 'test'",
                got=f"none for {part!r}" if key is None else f"{split[key]!r} for {part!r}",
                do="Give a list of class names for each.",
            )
        given[part] = [str(name) for name in split[key]]
    return given


def _names(path: Path) -> list[str]:
    if path.suffix == ".txt":
        return [line.strip() for line in _text(path).splitlines() if line.strip()]
    if path.suffix == ".csv":
        return _labels(path)
    found = _parsed(path)
    if isinstance(found, dict) and "class_names" not in found:
        groups = [group for part in found.values() if isinstance(part, dict) for group in part.items()]
        if not groups or not all(isinstance(names, list) for _, names in groups):
            raise _malformed(path, "no list of classes")
        found = [f"{group}/{name}" for group, names in groups for name in names]
    elif isinstance(found, dict):
        found = found["class_names"]
    if not isinstance(found, list):
        raise _malformed(path, "no list of classes")
    return ["/".join(map(str, one)) if isinstance(one, list) else str(one) for one in found]


def _labels(path: Path) -> list[str]:
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(_text(path).splitlines()) if row]
    except csv.Error as error:
        raise _malformed(path, str(error)) from error
    header = rows[0] if rows else []
    column = next((header.index(name) for name in ("label", "class_name") if name in header), None)
    values = [row[0] for row in rows] if column is None else [row[column] for row in rows[1:] if len(row) > column]
    return list(dict.fromkeys(values))


def _parsed(path: Path) -> Any:
    return parsed(_text(path), path, expected=EXPECTED, do=DO, error=DataError)


def _text(path: Path) -> str:
    return read_text(path, expected=EXPECTED, do=DO, error=DataError)


def _malformed(path: Path, got: str) -> DataError:
    return DataError(str(path), expected=EXPECTED, got=got, do=DO)
