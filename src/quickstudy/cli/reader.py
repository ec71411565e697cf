"""What a command reads: labelled examples to learn from, and examples to name, of whichever kind the run is of.

support     names of the classes, an example each row, its label               all of it can be read, or the command ends
query       examples, and the labels that some of them have                    what cannot be read is said, the rest is answered
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from quickstudy.errors import DataError
from quickstudy.tasks.distribution.interface import Preprocessing

Record = dict[str, Any]


@dataclass(frozen=True)
class Support:
    """Args:
    names: of the classes.
    records: what each example is called in an answer: {"file": ...} or {"text": ..., "line": ...}.
    x: the examples, before the preprocessing.
    y: their labels, places in `names`.
    """

    names: list[str]
    records: list[Record]
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Query:
    """Args:
    records, x: as of a `Support`.
    labels: of each example, a name of the support's; None where it has none.
    broken: why each other example cannot be read.
    """

    records: list[Record]
    x: Tensor
    labels: list[str | None]
    broken: list[DataError]


class Reader(ABC):
    """How a command reads one kind of data.

    Attributes:
        kind: what the examples are called: "images".
        labelled: what those with a label are called: "images in folders of a class".
        mislabelled: the question of an example that the others of its class contradict.
    """

    kind: ClassVar[str]
    labelled: ClassVar[str]
    mislabelled: ClassVar[str]

    @property
    @abstractmethod
    def preprocessing(self) -> Preprocessing:
        """What makes of the examples what the learner sees."""

    @abstractmethod
    def support(self, path: Path) -> Support:
        """The labelled examples.

        Raises:
            DataError: none there, or some that cannot be read: all of them are named.
        """

    @abstractmethod
    def query(self, path: Path, names: list[str]) -> Query:
        """The examples to name, of which one at least can be read.

        Raises:
            DataError: none there, or none that can be read.
        """

    def shown(self, record: Record) -> str:
        """How an example is called in a table and in a warning."""
        return str(next(iter(record.values())))
