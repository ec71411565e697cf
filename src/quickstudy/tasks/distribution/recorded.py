"""A preprocessing that is a dataclass: a file in a run's folder, made of its fields, and the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from quickstudy.errors import ArgumentError
from quickstudy.files import write_sealed
from quickstudy.records import RecordError, read_record, record
from quickstudy.tasks.distribution.interface import PREPROCESSING


class RecordedPreprocessing:
    """The base of a `Preprocessing` that is a frozen dataclass.

    Attributes:
        asked, untrained: see `Preprocessing`.
    """

    asked: ClassVar[tuple[str, ...]] = ()
    untrained: ClassVar[str] = "the inputs"

    def plain_features(self) -> nn.Module:
        """The numbers of x as they are."""
        return nn.Flatten()

    def fitted(self, x: Any) -> Self:
        """Itself, where nothing of it depends on the data."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Rebuild it from the plain data of `to_dict`.

        Raises:
            ArgumentError: an unknown or missing key, or a value of a wrong type.
        """
        try:
            return record(cls, given)
        except RecordError as error:
            names = ", ".join(field.name for field in fields(cls))  # type: ignore[arg-type]
            raise ArgumentError(
                "preprocessing", expected=names, got=str(error), do="Take the file that the run wrote."
            ) from error

    def save(self, folder: str | Path) -> None:
        """Write preprocessing.json into a folder."""
        write_sealed(Path(folder) / PREPROCESSING, self.to_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            CheckpointError: there is no such file, or it is of another preprocessing.
        """
        do = "preprocessing.save(folder) writes one, as every run does."
        return read_record(Path(folder) / PREPROCESSING, cls, expected="how examples are read", do=do)
