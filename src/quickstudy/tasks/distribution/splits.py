"""Splits of classes into train, validation and test: random by seed, or by published lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeVar

import torch

from quickstudy.arguments import checked
from quickstudy.errors import ArgumentError, DataError, TaskError
from quickstudy.files import parsed, read_text

Class = TypeVar("Class")
Splits = dict[str, list[str]]
STEMS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
SUFFIXES = (".txt", ".json")
DO = "Use the split file as it was published."


@checked
def random_split(
    classes: Sequence[Class], sizes: Sequence[float], *, seed: int, argument: str = "sizes", do: str | None = None
) -> list[list[Class]]:
    """Disjoint random parts of the classes. The same seed gives the same parts.

    Args:
        sizes: of the parts. All ints: numbers of classes; classes may be left over. Otherwise fractions that sum to at most 1,
            rounded so that fractions that sum to 1 leave no class over.
        argument: the name of `sizes` in error messages.
        do: what they propose where the classes are too few.

    Raises:
        ArgumentError: a part without a class; fractions that sum to more than 1.
        TaskError: numbers that add up to more classes than there are.

    Examples:
        >>> train, validation, test = qs.tasks.random_split("abcdefghij", (0.6, 0.2, 0.2), seed=0)
        >>> len(train), len(validation), len(test)
        (6, 2, 2)
    """
    counts = _counts(sizes, len(classes), argument, do)
    if sum(counts) > len(classes):
        raise TaskError(
            f"{argument}={tuple(sizes)}",
            expected=f"at most the {len(classes)} classes there are",
            got=f"{' + '.join(map(str, counts))} = {sum(counts)}",
            do=do or "Lower a size.",
        )
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed)).tolist()
    return [[classes[place] for place in order[start:end]] for start, end in pairwise(accumulate(counts, initial=0))]


@checked
def read_split(folder: str | Path) -> Splits:
    """The class names 'Alphabet/characterNN' of "train", "validation" and "test", from a folder with one file for each.

    The suffix of a file tells its format. `.txt` has lines `Alphabet/characterNN[/rotNNN]`, where the rotations of a character
    count as one class (Snell et al. 2017, the split of Vinyals et al. 2016). `.json` has {part: {"Alphabet": ["characterNN"]}}
    (Torchmeta). The file of "validation" may be called val, validation or valid.

    Raises:
        DataError: no such folder, a split without its file, or a file in neither format.
    """
    folder = Path(folder)
    return {split: _read(_find(folder, stems)) for split, stems in STEMS.items()}


def _counts(sizes: Sequence[float], classes: int, argument: str, do: str | None) -> list[int]:
    counts = [size for size in sizes if isinstance(size, int)]
    if len(counts) < len(sizes):
        if min(sizes) < 0 or sum(sizes) > 1 + 1e-9:
            raise ArgumentError(
                argument,
                expected="fractions that add up to at most 1",
                got=repr(tuple(sizes)),
                do="Give for example (0.64, 0.16, 0.2).",
            )
        ends = [round(classes * share) for share in accumulate(sizes, initial=0.0)]
        counts = [end - start for start, end in pairwise(ends)]
    if min(counts, default=0) < 1:
        raise ArgumentError(
            argument,
            expected="at least one class in every part",
            got=f"{tuple(sizes)} of {classes} classes",
            do=do or "Raise the size of the empty part, or bring more classes.",
        )
    return counts


def _find(folder: Path, stems: tuple[str, ...]) -> Path:
    for name in (stem + suffix for stem in stems for suffix in SUFFIXES):
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"split={str(folder)!r}",
        expected=f"a folder that holds {stems[0]}.txt or {stems[0]}.json",
        got="neither in it" if folder.is_dir() else "no such folder",
        do="Name a folder of split files, or 'random' or 'alphabet'.",
    )


def _read(path: Path) -> list[str]:
    text = read_text(path, expected="a list of classes", do=DO, error=DataError)
    return _from_json(path, text) if path.suffix == ".json" else _from_lines(path, text)


def _from_lines(path: Path, text: str) -> list[str]:
    names: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"([^/]+/[^/]+)(/rot\d+)?", line.strip())
        if match is None and line.strip():
            raise _malformed(path, f"line {number}: {line[:60]!r}", "lines Alphabet/characterNN or Alphabet/characterNN/rotNNN")
        if match is not None:
            names[match[1]] = None
    return list(names)


def _from_json(path: Path, text: str) -> list[str]:
    expected = '{part: {"Alphabet": ["characterNN"]}}'
    parts = parsed(text, path, expected=expected, do=DO, error=DataError)
    alphabets = parts.values() if isinstance(parts, dict) else [parts]
    if not all(
        isinstance(alphabet, dict) and all(isinstance(names, list) for names in alphabet.values()) for alphabet in alphabets
    ):
        raise _malformed(path, text[:60], expected)
    return [f"{alphabet}/{name}" for part in alphabets for alphabet, names in part.items() for name in names]


def _malformed(path: Path, got: str, expected: str) -> DataError:
    return DataError(str(path), expected=expected, got=got, do=DO)


def check_apart(parts: Mapping[str, Sequence[str]]) -> None:
    """Raise TaskError if a class name is in two parts."""
    first: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if first.setdefault(name, part) != part:
                raise TaskError(
                    f"{first[name]}, {part}",
                    expected="parts that share no class",
                    got=f"class {name!r} in both",
                    do="Give every class to one part: a class seen in meta-training makes the test score a leak. Data that are "
                    "split by example are pooled and split by class with split=(0.64, 0.16, 0.2); two classes of one name are "
                    "told apart with `class_names`.",
                )
