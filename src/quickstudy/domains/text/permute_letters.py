"""PermuteLetters: the letters of a task's texts exchanged, so that each task is of a language of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from quickstudy.arguments import Probability, checked
from quickstudy.episode import Episode
from quickstudy.errors import UnsupportedError
from quickstudy.targets import Target
from quickstudy.tasks.construction.augmentation.kinds import TaskAugmentation, named

LETTERS, SMALL, CAPITAL = 26, ord("a"), ord("A")


@checked
@dataclass(frozen=True)
class PermuteLetters(TaskAugmentation):
    """Exchange some of the letters a to z in the texts of each task, in the same way in support and query, capitals likewise.

        p  ~  uniform on [0, 1],     each letter is one of those that are exchanged with probability p

    A few tasks keep nearly every word, others keep none. A learner whose tasks are of languages that it knows has no need of the
    support; of these it has, as of a new language. Letters of other scripts, and those with marks, stay. Each task is changed
    with this `probability`.

    Raises:
        ArgumentError: a probability outside [0, 1].
        UnsupportedError: x that is no text as bytes.

    Source: in the spirit of Yin et al., "Meta-Learning without Memorization", ICLR 2020: tasks that no one network can solve.

    Examples:
        >>> texts = [f"{verb} {thing}" for verb in ("open", "close", "find") for thing in ("it", "them", "a door")]
        >>> labels = [text.split()[0] for text in texts]
        >>> tasks = qs.tasks.from_texts(texts, labels, length=16, ways=2, queries=2, part="test").test
        >>> changed = qs.tasks.PermuteLetters()(tasks.sample(2), torch.Generator().manual_seed(0))
        >>> changed.support.x["ids"].shape
        torch.Size([2, 2, 16])
    """

    probability: Probability = 1.0

    makes = "new tasks"

    def check(self, x: Any, target: Target) -> None:
        if not isinstance(x, dict) or set(x) != {"ids", "mask"}:
            got = f"a {type(x).__name__}" if not isinstance(x, dict) else f"x of {sorted(x)}"
            do = "Leave it out, or read texts as bytes: no encoder="
            raise UnsupportedError(named(self), expected='texts as bytes, x = {"ids", "mask"}', got=got, do=do)

    def changed(self, episode: Episode, generator: torch.Generator) -> Episode:
        n, letters = len(episode), torch.arange(LETTERS)
        p, chosen, each, noise = (torch.rand(n, size, generator=generator) for size in (1, 1, LETTERS, LETTERS))
        moves = (each < p) & (chosen < self.probability)
        before = torch.where(moves, letters, letters + LETTERS).argsort(1)  # those that move, in order
        after = torch.where(moves, noise, letters + LETTERS).argsort(1)  # and in another
        order = torch.empty_like(before).scatter_(1, before, after)
        table = torch.arange(256).repeat(n, 1)
        table[:, SMALL : SMALL + LETTERS], table[:, CAPITAL : CAPITAL + LETTERS] = SMALL + order, CAPITAL + order

        def exchanged(x: Any) -> Any:
            ids = x["ids"]
            return {**x, "ids": table.to(ids.device).gather(1, ids.flatten(1)).view_as(ids)}

        parts = (part.like(exchanged(part.x), part.y) for part in (episode.support, episode.query))
        return Episode(*parts, classes=episode.classes)
