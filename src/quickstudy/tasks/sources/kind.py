"""Kinds of data: a source recognises one by file suffixes or by a value, and the domain that defines it reads it.

suffixes of files, or a value  ->  Kind  ->  Items: a reader of rows as one tensor, and its preprocessing
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
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.distribution.interface import Preprocessing
from quickstudy.tasks.distribution.lazy_rows import LazyRows

Take = Callable[[list[int], str], Tensor | LazyRows]  # (rows, their name in the progress bar) -> the items of these rows
SUFFIXES = {  # of files, by kind; a domain may add a kind of its own
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".heic", ".heif"),
    "recordings": (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aiff"),
    "texts": (".txt", ".text"),
}


@dataclass(frozen=True)
class Items:
    """Labelled items, read on demand.

    Args:
        take: reads the items of some rows; called once for each part of a split.
        preprocessing: brings a new item into the same form; None if none is needed.
        normalise: fit the preprocessing's mean and standard deviation to the meta-training items.
        content: what the items of some rows are by their content, where the tensor alone does not tell: a normalised text, the
            InChI key of a molecule. Of two that are the same in one class the first alone is read. None: by the tensor.
        shown: an item in a message.

    Examples:
        >>> from quickstudy.tasks.sources.kind import Items
        >>> files = {0: "1 2", 1: "3 4"}
        >>> items = Items(lambda rows, part: torch.tensor([[float(word) for word in files[row].split()] for row in rows]))
        >>> items.take([1], "train")
        tensor([[3., 4.]])
    """

    take: Take
    preprocessing: Preprocessing | None = None
    normalise: bool = False
    content: Callable[[list[int]], Content] | None = None
    shown: Callable[[int], str] = str

    def only(self, kept: Sequence[int]) -> Items:
        """These items, numbered anew."""
        of = self.content
        return Items(
            lambda rows, part: self.take([kept[row] for row in rows], part),
            self.preprocessing,
            self.normalise,
            None if of is None else lambda rows: of([kept[row] for row in rows]),
            lambda row: self.shown(kept[row]),
        )


class Kind(ABC):
    """The interface of a kind of data, which a domain defines and names in its `Domain`.

    Attributes:
        name: such as "images".
        options: the `SourceOptions` that reading this kind takes.
        telling: those that mark plain numbers as being of this kind.
        objects: whether a value is an object of Python, such as a text, and no array.
        preprocessings: the classes of its `Preprocessing`, each a dataclass with fields of its own, by which a file is told.
        suffixes: of its files, in lower case.

    Examples:
        A file of pitches, one song a file, as a kind that a domain would name in `Domain(kind=...)`:

        >>> from quickstudy.tasks.sources.kind import Items, Kind
        >>> class Songs(Kind):
        ...     name, suffixes = "songs", (".song",)
        ...     def recognises(self, value):
        ...         return isinstance(value, str)
        ...     def of_files(self, files):
        ...         return self.of_values([file.read_text() for file in files])
        ...     def of_values(self, values):
        ...         return Items(lambda rows, part: torch.tensor([[float(word) for word in values[row].split()] for row in rows]))
        >>> Songs().of_values(["1 2", "3 4"]).take([0, 1], "train").shape
        torch.Size([2, 2])
    """

    name: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    telling: ClassVar[frozenset[str]] = frozenset()
    objects: ClassVar[bool] = False
    preprocessings: ClassVar[tuple[type, ...]] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        return SUFFIXES[self.name]

    @abstractmethod
    def recognises(self, value: Any) -> bool:
        """Whether a value in memory is of this kind when no kind is named."""

    def content(self, x: Tensor | LazyRows) -> Content | None:
        """What tells that two examples of x (N, *feature) are the same; None for what is not of this kind."""
        return None

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
        UnsupportedError: no installed domain reads it.
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
    """The name of the kind with this file's suffix; None for an unknown suffix."""
    return kinds_by_suffix().get(path.suffix.lower())


def kinds_by_suffix() -> dict[str, str]:
    """The name of the kind of each known suffix; where two kinds have it, of the first."""
    known = SUFFIXES | {name: kind.suffixes for name, kind in registry.kinds().items()}
    return {suffix: name for name, suffixes in reversed(known.items()) for suffix in suffixes}


def kind_told(name: str | None, given: Mapping[str, Any]) -> Kind | None:
    """The kind that is named, else the one that the given options tell; None where they tell none."""
    if name is not None:
        return kind_named(name)
    return next((kind for kind in registry.kinds().values() if given.keys() & kind.telling), None)


def kind_of_value(value: Any, name: str | None, given: Mapping[str, Any]) -> Kind | None:
    """The kind of values like `value`: as named, else by the value or the given options; None for plain numbers.

    Raises:
        ArgumentError: reading options without a kind that takes them.
    """
    told = kind_told(name, given) or next((kind for kind in registry.kinds().values() if kind.recognises(value)), None)
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
    """Raise ArgumentError if an option is given that reading this kind does not take."""
    for name in given:
        if name not in kind.options:
            raise ArgumentError(
                name,
                expected=f"an option of {kind.name}: " + (", ".join(sorted(kind.options)) or "there is none"),
                got=f"{name}={given[name]!r}",
                do="Leave it out.",
            )
