"""Kinds of data: a source tells them by the suffixes of files or by a value, and the domain that knows a kind reads it.

suffixes of files, or a value  ->  Kind  ->  Items: what reads rows as one tensor, and the preprocessing that it takes
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from quickstudy import registry
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks.distribution.interface import Preprocessing

Take = Callable[[list[int], str], Tensor]  # the items of these rows, and what they are called while they are read
SUFFIXES = {  # of files, by kind; a domain may add a kind of its own
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    "sounds": (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff"),
    "texts": (".txt", ".text"),
}


@dataclass(frozen=True)
class Items:
    """Labelled items that are read when they are needed.

    Args:
        take: reads the items of some rows; called once for each part of a split.
        preprocessing: what brings a further item into the same form; None where nothing has to.
        normalise: let the preprocessing take mean and standard deviation of the meta-training items.
    """

    take: Take
    preprocessing: Preprocessing | None = None
    normalise: bool = False


class Kind(ABC):
    """The interface of a kind of data, which a domain defines and names in its `Domain`.

    Attributes:
        name: "images".
        options: of `SourceOptions`, those that reading this kind takes.
        telling: those of them that say of plain numbers that they are of this kind.
        suffixes: of its files, in lower case.
    """

    name: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    telling: ClassVar[frozenset[str]] = frozenset()

    @property
    def suffixes(self) -> tuple[str, ...]:
        return SUFFIXES[self.name]

    @abstractmethod
    def recognises(self, value: Any) -> bool:
        """Whether a value in memory is of this kind, without anyone's saying so."""

    @abstractmethod
    def of_files(self, files: Sequence[Path], **options: Any) -> Items:
        """Files as items."""

    @abstractmethod
    def of_values(self, values: Sequence[Any] | Tensor, **options: Any) -> Items:
        """Values in memory, or of a data set that reads them by index, as items."""


def kind_named(name: str) -> Kind:
    """The kind of this name.

    Raises:
        ArgumentError: there is no such kind.
        UnsupportedError: there is, and no domain that is installed reads it.
    """
    kinds = registry.kinds()
    if name in kinds:
        return kinds[name]
    if name in SUFFIXES:
        raise UnsupportedError(
            f"kind={name!r}",
            expected="a kind that an installed domain reads: " + ", ".join(kinds),
            got="one that none of them does",
            do="Install a domain for it, or give features of your own with from_arrays.",
        )
    raise ArgumentError(
        "kind", expected="one of " + ", ".join({**SUFFIXES, **kinds}), got=repr(name), do="Name what the data are."
    )


def kind_of_file(path: Path) -> str | None:
    """The name of the kind that a file's suffix tells; None for a suffix of none."""
    known = SUFFIXES | {name: kind.suffixes for name, kind in registry.kinds().items()}
    return next((name for name, suffixes in known.items() if path.suffix.lower() in suffixes), None)


def kind_of_value(value: Any, name: str | None, given: Mapping[str, Any]) -> Kind | None:
    """The kind of values that are like `value`: as named, as the value or the options given tell; None for plain numbers.

    Raises:
        ArgumentError: options of reading, and nothing that says of which kind.
    """
    if name is not None:
        return kind_named(name)
    kinds = registry.kinds().values()
    told = next((kind for kind in kinds if kind.recognises(value) or given.keys() & kind.telling), None)
    if told is None and given:
        option = next(iter(given))
        raise ArgumentError(
            option,
            expected="an option of a kind of data, such as images",
            got=f"{option}={given[option]!r} for plain numbers",
            do="Leave it out, or say with kind= what they are.",
        )
    return told


def check_options(kind: Kind, given: Mapping[str, Any]) -> None:
    """Raise ArgumentError where an option is given that reading this kind does not take."""
    for name in given:
        if name not in kind.options:
            raise ArgumentError(
                name,
                expected=f"an option of {kind.name}: " + (", ".join(sorted(kind.options)) or "there is none"),
                got=f"{name}={given[name]!r}",
                do="Leave it out.",
            )
