"""SpokenStrings: strings of spoken characters, made of single recordings of one speaker, as tasks of recognition.

task         a speaker;   support, query  ~  strings of that speaker, no recording in two of them
string       =  recordings one after another, with pauses drawn between them, as many as there is room for
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.domains.audio.waveform import FULL, Waveform, lengths
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, ShapeError, TaskError
from quickstudy.targets import Transcripts
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.size import Size, check_size, drawn, largest
from quickstudy.tasks.distribution.splits import check_apart
from quickstudy.tasks.synthetic.generated import GeneratedTasks, Truth

POOLED = 50  # tasks whose queries `examples` pools


class SpokenStringTasks(GeneratedTasks):
    """One part of `SpokenStrings`: x (tasks, examples, samples), y (tasks, examples, length) of `Transcripts`.

    Truth: speaker (tasks,), the number of each task's speaker in `class_names`.

    Args:
        split: "train", "validation" or "test".
        x: recordings (N, samples), zeros behind their ends.
        token: of what is said in each of them, (N,).
        speaker: of each of them, (N,) integers.
        names: of the speakers.
        target: the characters.
        shots, queries: strings of an episode.
        length: recordings of a string.
        pauses: the shortest and the longest pause, in seconds.
        reads: rate and length of a string.

    Raises:
        TaskError: a speaker with fewer recordings than an episode takes.
        ArgumentError: sizes below 1.
    """

    def __init__(
        self,
        split: str,
        x: Tensor,
        token: Tensor,
        speaker: Tensor,
        names: Sequence[str],
        *,
        target: Transcripts,
        shots: Size,
        queries: Size,
        length: Size,
        pauses: tuple[float, float],
        reads: Waveform,
    ):
        self.x, self.token, self.index, self.class_names = x, token, ClassIndex(speaker), list(names)
        self.target, self.length, self.pauses, self.preprocessing = target, length, pauses, reads
        self.ends = torch.cat([lengths(part) for part in x.split(512)])
        super().__init__(split, ways=None, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        speaker = torch.randint(len(self.class_names), (n, 1), generator=generator)
        most, strings = largest(self.length), shots + queries
        rows = self.index.choose_rows(speaker, strings * most, generator).reshape(n, strings, most)
        x, y = torch.zeros(n, strings, self.preprocessing.samples), torch.zeros(n, strings, most, dtype=torch.int64)
        for task in range(n):
            for string in range(strings):
                own = rows[task, string, : drawn(self.length, generator)]
                x[task, string], held = self._joined(own, generator)
                y[task, string, :held] = self.token[own[:held]]
        parts = (Examples(x[:, part], y[:, part], target=self.target) for part in (slice(shots), slice(shots, None)))
        return Episode(*parts), {"speaker": speaker[:, 0]}

    def examples(self) -> Examples:
        """The pooled queries of 50 tasks, always the same ones."""
        query = self.sample(POOLED, generator=torch.Generator().manual_seed(0)).query
        return Examples(query.x.flatten(0, 1), query.y.flatten(0, 1), target=self.target)

    @property
    def protocol(self) -> dict[str, Any]:
        """shots and queries; recordings of a string, and pauses between them."""
        return super().protocol | {"length": self.length, "pauses": list(self.pauses)}

    def check_protocol(self) -> None:
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)
        check_size("length", self.length, 1)
        needed = (largest(self.shots) + largest(self.queries)) * largest(self.length)
        fewest = int(self.index.counts.argmin())
        if (found := int(self.index.counts[fewest])) < needed:
            raise TaskError(
                f"shots={self.shots}, queries={self.queries}, length={self.length}",
                expected=f"{needed} recordings of every speaker, so that none is in an episode twice",
                got=f"{found} of {self.class_names[fewest]!r}",
                do="Lower one of the three, or bring more recordings.",
            )

    def _joined(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, int]:
        """Recordings one after another, a pause before each: float32 (samples,), and how many of them there is room for."""
        low, high = self.pauses
        pauses = ((low + (high - low) * torch.rand(len(rows), generator=generator)) * self.preprocessing.rate).long()
        ends = (pauses + self.ends[rows]).cumsum(0)
        held = int((ends <= self.preprocessing.samples).sum())
        joined = torch.zeros(self.preprocessing.samples)
        for row, end in zip(rows[:held].tolist(), ends[:held].tolist(), strict=True):
            size = int(self.ends[row])
            joined[end - size : end] = self.x[row, :size].float() / (FULL if self.x.dtype == torch.int16 else 1)
        return joined, held


@checked
class SpokenStrings(TaskFamily[SpokenStringTasks]):
    """Recognition adapted to a speaker: a task is a speaker, who says some strings with their transcripts, and then others.

    A string is made of recordings of single characters, such as digits, by one speaker. In an episode no recording is in two
    strings, and no speaker is in two parts.

    Args:
        x: recordings (N, samples), float or int16, as `Waveform` makes them: zeros behind their ends alone.
        characters: what is said in each recording, one character each.
        speakers: the name of each recording's speaker.
        shots: strings to adapt to.
        queries: strings to be scored on.
        length: recordings of a string, or a range (low, high).
        pauses: seconds of the shortest and of the longest pause before a character.
        seconds: length of a string; it has as many of its recordings as there is room for.
        rate: samples a second.
        split: the speakers of each part: fractions, numbers, or names; see `tasks.from_folder`.
        seed: of the split.

    Raises:
        ShapeError: x, characters and speakers of different lengths.
        ArgumentError: more than one character for a recording; pauses that are no range; no room for a recording.
        TaskError: fewer than 3 speakers; a speaker with too few recordings.

    Examples:
        >>> x, said = torch.randn(120, 800), [str(row % 10) for row in range(120)]
        >>> who = [["Ann", "Ben", "Cai"][row // 40] for row in range(120)]
        >>> sizes = {"shots": 2, "queries": 3, "length": (2, 4), "seconds": 2.0, "rate": 4000}
        >>> tasks = qs.tasks.SpokenStrings(x, said, who, split=(1, 1, 1), **sizes)
        >>> episodes = tasks.train.sample(4)
        >>> episodes.support.x.shape, episodes.query.y.shape
        (torch.Size([4, 2, 8000]), torch.Size([4, 3, 4]))
        >>> str(episodes.query.target.named(episodes.query.y[0])[0]).isdigit()
        True
    """

    def __init__(
        self,
        x: Tensor,
        characters: Sequence[str],
        speakers: Sequence[str],
        shots: Size = 5,
        queries: Size = 10,
        *,
        length: Size = (3, 5),
        pauses: tuple[float, float] = (0.05, 0.3),
        seconds: PositiveFloat = 4.0,
        rate: PositiveInt = 16000,
        split: Split | None = None,
        seed: int = 0,
    ):
        _check(x, characters, speakers, pauses, seconds, rate)
        target, reads = Transcripts("".join(sorted(set(characters)))), Waveform(rate=rate, seconds=seconds)
        token = target.tokens(list(characters))[:, 0]
        names = sorted(set(speakers))
        if len(names) < 3:
            do = "Some train, some validate, some test: bring more."
            raise TaskError("speakers", expected="three or more", got=str(len(names)), do=do)
        parts = split_classes(names, FRACTIONS if split is None else split, seed)
        check_apart(parts)
        made = {}
        for part, some in parts.items():
            number = {name: place for place, name in enumerate(some)}
            rows = torch.tensor([row for row, name in enumerate(speakers) if name in number])
            of = torch.tensor([number[speakers[row]] for row in rows.tolist()])
            sizes: dict[str, Any] = {"shots": shots, "queries": queries, "length": length, "pauses": tuple(pauses)}
            made[part] = SpokenStringTasks(part, x[rows], token[rows], of, some, target=target, reads=reads, **sizes)
        super().__init__(*(made[name] for name in SPLITS))


def _check(
    x: Tensor,
    characters: Sequence[str],
    speakers: Sequence[str],
    pauses: tuple[float, float],
    seconds: float,
    rate: int,
) -> None:
    if not len(x) == len(characters) == len(speakers):
        raise ShapeError(
            "x, characters, speakers",
            expected="one of each for every recording",
            got=f"{len(x)}, {len(characters)} and {len(speakers)}",
            do="Leave out what belongs to no recording.",
        )
    for row, said in enumerate(characters):
        if len(said) != 1:
            do = "Give each word a character of its own, and keep a list of them."
            raise ArgumentError(f"characters[{row}]", expected="one character", got=repr(said), do=do)
    if len(pauses) != 2 or not 0 <= pauses[0] <= pauses[1]:
        raise ArgumentError("pauses", expected="seconds (low, high)", got=repr(pauses), do="(0.05, 0.3) is the default.")
    if pauses[1] + x.shape[1] / rate > seconds:
        raise ArgumentError(
            "seconds",
            expected=f"room for a pause and a recording, {pauses[1] + x.shape[1] / rate:g} s",
            got=f"{seconds:g}",
            do="Give that room for each recording of a string.",
        )
