"""What a table seems to hold, so that an error can name the call that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quickstudy.tasks.sources.kind import kind_of_file

LABELS = ("label", "class_name")  # columns that hold the labels, whatever is in them
FEW = 3  # examples that a class must have on average for a column to be one of labels
SHOWN = 6  # columns that are named one by one


def call_for(header: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> str | None:
    """Advice that names the call for a table without a column `filename`; None if its columns do not say what they are.

    The column of labels is `label` or `class_name`, else the one of text with the fewest different values, each in three rows or
    more; files are told by their suffix, numbers by being numbers, and text by being neither.
    """
    columns = {name: [row[place].strip() if len(row) > place else "" for row in rows] for place, name in enumerate(header)}
    numbers = [name for name, values in columns.items() if values and all(map(_is_number, values))]
    label = _label(columns, numbers)
    if label is None:
        return None
    files = [name for name, values in columns.items() if name != label and values and all(kind_of_file(Path(v)) for v in values)]
    texts = [name for name in header if name not in (label, *files, *numbers)]
    features = [name for name in numbers if name != label]
    said = "" if label == "label" else f", label={label!r}"
    if files:
        return f"Rename {files[0]!r} to 'filename', or give filename={files[0]!r}{said}."
    if features:
        named = repr(features) if len(features) <= SHOWN or texts else "'*'"
        return (
            f"For its numbers call from_csv({str(path)!r}, features={named}{said}); to learn from its rows and classify "
            "others, without meta-training, fit a FewShotClassifier; for targets that are numbers, in groups, call from_groups."
        )
    if texts:
        longest = max(texts, key=lambda name: sum(map(len, columns[name])))
        return f"For its texts call from_csv({str(path)!r}, text={longest!r}{said})."
    return None


def _label(columns: Mapping[str, Sequence[str]], numbers: Sequence[str]) -> str | None:
    named = next((name for name in LABELS if name in columns), None)
    if named is not None:
        return named
    different = {name: len(set(values)) for name, values in columns.items() if name not in numbers}
    fewest = min(different, key=different.__getitem__, default=None)
    return fewest if fewest is not None and different[fewest] * FEW <= len(columns[fewest]) else None


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
