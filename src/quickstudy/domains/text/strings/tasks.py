"""String tasks: a rule turns strings into strings, and each task has a rule of its own. The base of formats and of grammars.

Rules that are written down alike are one rule, and their hash says to which part they belong: no rule of a validation or test
task is ever trained on, whatever the seed.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from random import Random
from typing import TypeVar

import torch
from torch import Tensor

from quickstudy.arguments import PositiveInt
from quickstudy.domains.text.strings.rows import TARGET, Strings
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.synthetic.generated import GeneratedTasks, Truth

Rule = TypeVar("Rule")
Pairs = list[tuple[str, str]]

SHARES = {"test": 15, "validation": 10}  # of 100 rules; the others are to train on
LEAST = 24  # bytes of a row, so that most records fit


def part_of(rule: str) -> str:
    """The part that a rule belongs to, by the hash of what is written: "train", "validation" or "test"."""
    place = int.from_bytes(hashlib.sha256(rule.encode()).digest()[:8], "big") % 100
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def drawn_for(split: str, draw: Callable[[], Rule], written: Callable[[Rule], str]) -> Rule:
    """The first rule drawn that belongs to the part."""
    while True:
        rule = draw()
        if part_of(written(rule)) == split:
            return rule


class StringTasks(GeneratedTasks):
    """The base of tasks of strings: x = {"ids", "mask"} (tasks, examples, length), y (tasks, examples, length) of `Tokens`.

    Truth: kind (tasks,), the number of the kind of each task's rule.

    Attributes:
        reads: how strings become rows.
    """

    def __init__(self, shots: Size, queries: Size, *, length: PositiveInt, split: str):
        if length < LEAST:
            got = str(length)
            raise ArgumentError("length", expected=f"{LEAST} or more, so that strings fit", got=got, do="32 is the default.")
        self.reads = Strings(length)
        super().__init__(split, ways=None, shots=shots, queries=queries)

    @abstractmethod
    def pairs(self, shots: int, queries: int, random: Random) -> tuple[Pairs, int]:
        """shots + queries pairs of one task, all different, and the number of its kind of rule."""

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        random, drawn = Random(int(torch.randint(2**62, (), generator=generator))), list[tuple[Pairs, int]]()
        while len(drawn) < n:
            pairs, kind = self.pairs(shots, queries, random)
            if max(len(text.encode()) for pair in pairs for text in pair) <= self.reads.length:
                drawn.append((pairs, kind))
        x, y = (self._rows([pair[side] for pairs, _ in drawn for pair in pairs], n) for side in (0, 1))
        parts = (
            Examples(self.reads.apply(x[:, part]), y[:, part].long(), target=TARGET)
            for part in (slice(shots), slice(shots, None))
        )
        return Episode(*parts), {"kind": torch.tensor([kind for _, kind in drawn])}

    def _rows(self, texts: list[str], n: int) -> Tensor:
        """uint8 (tasks, examples, length)."""
        raw = b"".join(text.encode().ljust(self.reads.length, b"\0") for text in texts)
        return torch.frombuffer(bytearray(raw), dtype=torch.uint8).reshape(n, -1, self.reads.length)
