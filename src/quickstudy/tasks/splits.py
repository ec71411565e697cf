"""Splits of classes into meta-training, meta-validation and meta-test: seeded, by fractions of the whole, or by published lists."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

from quickstudy.errors import DataError, TaskError

K = TypeVar("K")
Splits = dict[str, list[str]]
NAMES = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


def random_split(classes: Sequence[K], sizes: Sequence[int], *, seed: int) -> list[list[K]]:
    """Classes in disjoint random parts of the given sizes.

    Raises:
        TaskError: sizes that add up to more classes than there are.
    """
    if sum(sizes) > len(classes):
        raise TaskError(
            "split sizes",
            expected=f"at most the {len(classes)} classes there are",
            got=f"{' + '.join(map(str, sizes))} = {sum(sizes)}",
            do="Lower a size.",
        )
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).tolist()
    parts, start = [], 0
    for size in sizes:
        parts.append([classes[index] for index in order[start : start + size]])
        start += size
    return parts


def read_split(folder: str | Path) -> Splits:
    """The class names 'Alphabet/characterNN' of each split, from a folder of split files.

    Two formats are known: `train.txt`, `val.txt`, `test.txt` with lines `Alphabet/characterNN[/rotNNN]` (Snell et al.), and
    `train.json`, `val.json`, `test.json` with {"images_background": {"Alphabet": ["characterNN"]}} (Torchmeta).

    Raises:
        DataError: no such folder, a split without its file, or a file in neither format.
    """
    folder = Path(folder)
    splits = {}
    for split, stems in NAMES.items():
        found = [folder / f"{stem}{suffix}" for stem in stems for suffix in (".txt", ".json") if (folder / f"{stem}{suffix}").is_file()]
        if not found:
            raise DataError(
                f"split={str(folder)!r}",
                expected=f"a folder that holds {stems[0]}.txt or {stems[0]}.json",
                got="neither",
                do="Name a folder of split files, or 'random' or 'alphabet'.",
            )
        splits[split] = _read_json(found[0]) if found[0].suffix == ".json" else _read_lines(found[0])
    return splits


def _read_lines(path: Path) -> list[str]:
    names: dict[str, None] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"([^/]+/[^/]+)(/rot\d+)?", line.strip())
        if match is None:
            raise _malformed(path, f"line {number}: {line[:60]!r}", "lines Alphabet/characterNN or Alphabet/characterNN/rotNNN")
        names[match[1]] = None
    return list(names)


def _read_json(path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [f"{alphabet}/{character}" for part in content.values() for alphabet, all_ in part.items() for character in all_]
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}", '{"part": {"Alphabet": ["characterNN"]}}') from error


def _malformed(path: Path, got: str, expected: str) -> DataError:
    return DataError(str(path), expected=expected, got=got, do="Use the split file as it was published.")
