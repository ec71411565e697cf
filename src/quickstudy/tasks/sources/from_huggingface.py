"""from_huggingface: a data set of the `datasets` library as few-shot tasks."""

from __future__ import annotations

from collections.abc import Mapping, Set
from importlib import import_module
from typing import Any, Unpack

from quickstudy.arguments import checked
from quickstudy.calls import remembered
from quickstudy.errors import DataError, UnsupportedError
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.columns import check_known
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.sources.from_dataset import from_dataset
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions


@remembered
@checked
@hands_on(SourceOptions, Protocol, **READING)
def from_huggingface(
    dataset: Any, *, x: str = "image", y: str = "label", kind: str | None = None, **options: Unpack[SourceOptions]
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from a `datasets.Dataset`, from all splits of a `DatasetDict` pooled, or from the hub by name.

    Classes take the label column's own names if it has them (ClassLabel). `within` may name any other column. They
    are split by class here: the library's own splits are by example, with every class in each.

    Args:
        dataset: a data set with the columns x and y; or a mapping of them; or a name for `datasets.load_dataset`, which needs
            `pip install "quickstudy[huggingface]"`.
        x, y: the columns of inputs (images, or numbers of one shape) and of labels.
        kind: see `from_dataset`.

    Other Args:
        options: see `SourceOptions`, and `from_dataset`.

    Raises:
        DataError: a missing column; a `dataset` that is not one.
        UnsupportedError: a name, without the library installed.
        LabelError, ShapeError, TaskError, ArgumentError: see `from_dataset`.
    """
    if isinstance(dataset, str):
        dataset = _library(dataset).load_dataset(dataset)
    tables = list(dataset.values()) if isinstance(dataset, Mapping) else [dataset]
    labels = [label for table in tables for label in _labels(table, x, y)]
    columns = {
        name: [value for table in tables for value in _values(table, name, f"column {name!r}")]
        for name in _groupings(tables, {x, y}, options.get("within"))
    }
    return from_dataset(_Column(tables, x), labels=labels, kind=kind, columns=columns, **options)


class _Column:
    """One column of several tables, concatenated, as a Dataset."""

    def __init__(self, tables: list[Any], column: str):
        self.column = column
        self.places = [(table, row) for table in tables for row in range(len(table))]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Any:
        table, row = self.places[index]
        return table[row][self.column]


def _labels(table: Any, x: str, y: str) -> list[Any]:
    """The labels of a table, by name; the other column is not read."""
    columns = getattr(table, "column_names", None)
    if not isinstance(columns, list):
        raise DataError(
            "dataset",
            expected="a data set of the `datasets` library, a mapping of them, or the name of one",
            got=f"a {type(table).__name__}",
            do="For another Dataset use from_dataset.",
        )
    for argument, column in (("x", x), ("y", y)):
        if column not in columns:
            raise DataError(
                f"{argument}={column!r}",
                expected="one of the columns " + ", ".join(columns),
                got="none of them",
                do=f"Name the column: {argument}=...",
            )
    return _values(table, y, f"y={y!r}")


def _groupings(tables: list[Any], taken: Set[str], within: str | None) -> list[str]:
    """The columns with class names of their own beside those `taken`, and the one of `within`."""
    shared = [name for name in tables[0].column_names if name not in taken and all(name in one.column_names for one in tables)]
    if within is not None:
        check_known(within, dict.fromkeys(shared))
    return [name for name in shared if name == within or getattr(tables[0].features[name], "names", None)]


def _values(table: Any, column: str, argument: str) -> list[Any]:
    """The values of a column, by name if they have names."""
    values, names = list(table[column]), getattr(table.features[column], "names", None)
    if not names:
        return values
    if any(not isinstance(value, int) or not 0 <= value < len(names) for value in values):
        raise DataError(
            argument,
            expected=f"a label 0..{len(names) - 1} in each row",
            got="rows without one",
            do="A test split without labels is left out by giving the others: from_huggingface(dataset['train']).",
        )
    return [names[value] for value in values]


def _library(name: str) -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise UnsupportedError(
            f"dataset={name!r}",
            expected="the `datasets` library, which fetches data sets by name",
            got="none installed",
            do='Run: pip install "quickstudy[huggingface]". Or give a data set that you have loaded.',
        ) from error
