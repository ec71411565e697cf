"""Strokes: characters that quickstudy draws itself, as few-shot tasks that need no data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from quickstudy.arguments import PositiveInt, checked
from quickstudy.domains.images.drawing import PLAIN, draw_characters
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.domains.images.style import Style
from quickstudy.errors import ArgumentError
from quickstudy.tasks.construction.augmentation import Rotations
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.with_classes import with_classes


@checked
class Strokes(TaskFamily[LabelledTasks]):
    """Drawn characters as few-shot tasks: images (1, size, size), ink 1 on ground 0, as Omniglot's.

    A class is a stroke program, an example is one jittered drawing of it: see `domains.images.drawing`. The same arguments
    give the same images. A learner meta-trained here also reads real handwriting: benchmarks/RESULTS.md, "drawn to real".

    Args:
        ways, shots, queries: the protocol of an episode.
        classes: number of characters for meta-training, meta-validation and meta-test.
        examples: drawings of each character.
        rotations: add characters rotated by 90, 180 and 270 degrees as further classes of meta-training.
        size: pixels per side.
        style: how the characters look: a `domains.images.style.Style`; None: as Omniglot's.
        seed: of all characters and drawings.

    Raises:
        ArgumentError: not three numbers of classes, a number below 1, a canvas too small to draw on.
        TaskError: more ways than classes, or fewer examples than shots + queries.

    Examples:
        >>> tasks = qs.tasks.Strokes(ways=3, shots=1, queries=4, classes=(8, 4, 4), examples=5)
        >>> tasks.train.sample(2).query.x.shape
        torch.Size([2, 12, 1, 28, 28])
        >>> tasks.classes["validation"][0]
        'seed0/character00008'
    """

    def __init__(
        self,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 15,
        *,
        classes: Sequence[int] = (1000, 100, 200),
        examples: PositiveInt = 20,
        rotations: bool = False,
        size: int = 28,
        style: Style | None = None,
        seed: int = 0,
    ):
        _check_classes(classes)
        images = draw_characters(
            sum(classes), examples, generator=torch.Generator().manual_seed(seed), size=size, style=style or PLAIN
        )
        names = [f"seed{seed}/character{number:05d}" for number in range(len(images))]
        parts = []
        for split, count in enumerate(classes):
            first = sum(classes[:split])
            x, part = images[first : first + count], names[first : first + count]
            y, x = torch.arange(len(part)).repeat_interleave(examples), x.flatten(0, 1)
            augment = [Rotations()] if split == 0 and rotations else []
            reads = Preprocessing(size, channels=1, invert=True)
            sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries}
            parts.append(with_classes(x, y, part, augment, preprocessing=reads, **sizes))
        super().__init__(*parts)


def _check_classes(classes: Sequence[int]) -> None:
    if len(classes) != 3 or min(classes) < 1:
        raise ArgumentError(
            "classes",
            expected="three numbers of at least 1: for meta-training, meta-validation and meta-test",
            got=repr(tuple(classes)),
            do="Give for example classes=(1000, 100, 200).",
        )
