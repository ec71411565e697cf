"""Recordings as a kind of data that sources read: files, and samples in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt, check_arguments
from quickstudy.domains.audio.content import key_of
from quickstudy.domains.audio.encoder import EncodedWaveform
from quickstudy.domains.audio.recording import Recording, of_array, read_recording
from quickstudy.domains.audio.waveform import Waveform, in_16_bits
from quickstudy.errors import ArgumentError, DataError, DataWarning
from quickstudy.progress import reading
from quickstudy.tasks.distribution.content import Content
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.sources.broken import BrokenItems
from quickstudy.tasks.sources.kind import Items, Kind

DO = "Give seconds= for more."


class Recordings(Kind):
    """See `SourceOptions` for rate, seconds, trim, normalise and memory."""

    name = "recordings"
    options = frozenset({"rate", "seconds", "trim", "normalise", "memory"})
    telling = frozenset({"rate", "seconds", "trim"})
    objects = True
    preprocessings = (Waveform, EncodedWaveform)

    def recognises(self, value: Any) -> bool:
        """{"array", "sampling_rate"}, as the package datasets gives a recording."""
        return isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys()

    def of_files(self, files: Sequence[Path], memory: int | None = None, **options: Any) -> Items:
        each = each_of_files(files, _reads(**options))
        return each.items() if memory is None else _lazily(each, memory, [str(file) for file in files])

    def of_values(self, values: Sequence[Any] | Tensor, memory: int | None = None, **options: Any) -> Items:
        if memory is not None and isinstance(values, Tensor | list | tuple):
            got = "recordings in memory"
            raise ArgumentError("memory", expected="files, or a Dataset that reads its items", got=got, do="Leave `memory` out.")
        rate = options.get("rate")
        if rate is None and not self.recognises(values[0]):
            do = "Give rate=, what they were recorded at: 16000, say."
            raise ArgumentError("rate", expected="that of the recordings, which an array does not tell", got="none", do=do)
        each = Each(lambda row: of_array(values[row], rate, _place(row)), _place, _reads(**options))
        return each.items() if memory is None else _lazily(each, memory, ())


RECORDINGS = Recordings()


class Each:
    """Recordings by number, read once each: what is kept of one stays until it is taken.

    Args:
        read: one of them.
        named: it in a message.
        reads: the preprocessing.
    """

    def __init__(self, read: Callable[[int], Recording], named: Callable[[int], str], reads: Waveform):
        self.read, self.named, self.reads = read, named, reads
        self.keys: dict[int, int] = {}
        self.waiting: dict[int, tuple[Tensor, float]] = {}
        self.broken: dict[int, DataError] = {}

    def one(self, row: int) -> Tensor:
        """What is kept of one, (samples,)."""
        return in_16_bits(self.reads.kept(self.read(row), self.named(row))[0])

    def items(self) -> Items:
        """All of them, as a source takes them."""
        return Items(self.take, self.reads, content=self.content, shown=self.named)

    def content(self, rows: list[int]) -> Content:
        """What each is; nothing tells that of one that cannot be read."""
        self._read([row for row in rows if row not in self.keys], "recordings")
        return Content("recordings", torch.tensor([self.keys[row] for row in rows], dtype=torch.int64))

    def take(self, rows: list[int], part: str) -> Tensor:
        """int16 (N, samples).

        Raises:
            BrokenItems: recordings that cannot be read: every one has been tried, and the error holds the others.
        """
        x, broken = self.each(rows, f"{part} recordings")
        if broken:
            raise BrokenItems(broken, x)
        return x

    def each(self, rows: list[int], what: str) -> tuple[Tensor, dict[int, DataError]]:
        """Those that can be read, and by place the error of each that cannot."""
        self._read([row for row in rows if row not in self.waiting and row not in self.broken], what)
        broken = {place: self.broken[row] for place, row in enumerate(rows) if row in self.broken}
        found = [self.waiting.pop(row) for row in rows if row not in self.broken]
        longer = [seconds for _, seconds in found if seconds > self.reads.seconds]
        if longer:
            said = f"{len(longer)} of {len(rows)} are longer than {self.reads.seconds:g} seconds"
            warnings.warn(f"`{what}`: {said}, the longest of {max(longer):.1f}. {DO}", DataWarning, stacklevel=2)
        x = torch.stack([one for one, _ in found]) if found else torch.empty(0, self.reads.samples, dtype=torch.int16)
        return x, broken

    def _read(self, rows: list[int], what: str) -> None:
        for row in reading(rows, what):
            try:
                recording = self.read(row)
                self.keys[row] = key_of(recording.samples)
                x, seconds = self.reads.kept(recording, self.named(row))
                self.waiting[row] = in_16_bits(x), seconds
            except DataError as error:
                self.keys[row], self.broken[row] = 0, error


def each_of_files(files: Sequence[Path], reads: Waveform) -> Each:
    """The recordings of files."""
    return Each(lambda row: read_recording(files[row], reads.seconds), lambda row: str(files[row]), reads)


def _reads(rate: int | None = None, seconds: float = 1.0, trim: bool = True, normalise: bool = True) -> Waveform:
    loudness = {} if normalise else {"loudness": None}
    return Waveform(seconds=seconds, trim=trim, **loudness, **({} if rate is None else {"rate": rate}))  # type: ignore[arg-type]


def _lazily(each: Each, memory: PositiveInt, names: Sequence[str]) -> Items:
    """Recordings that are read as they are drawn; all parts of a split share the memory."""
    check_arguments(_lazily, {"memory": memory})
    every = LazyRows(each.one, torch.arange(0), (each.reads.samples,), torch.int16, memory, names)

    def take(rows: list[int], part: str) -> LazyRows:
        some = copy(every)
        some.of = torch.tensor(rows)
        return some

    return Items(take, each.reads)


def _place(row: int) -> str:
    return f"x[{row}]"
