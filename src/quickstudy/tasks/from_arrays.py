"""from_arrays: labelled arrays as few-shot tasks. The door behind all the other doors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.errors import LabelError, ShapeError
from quickstudy.tasks.augmentation import EpisodeAugmentation, Rotations
from quickstudy.tasks.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution import LabelledTasks
from quickstudy.tasks.family import TaskFamily
from quickstudy.tasks.preprocessing import Preprocessing
from quickstudy.tasks.size import Size
from quickstudy.tasks.transform import Transform


def from_arrays(
    x: Any,
    y: Any,
    *,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split = FRACTIONS,
    seed: int = 0,
    augment: Sequence[Rotations | EpisodeAugmentation] = (),
    transform: Sequence[Transform] = (),
    preprocessing: Preprocessing | None = None,
) -> TaskFamily[LabelledTasks]:
    """N-way K-shot tasks from labelled data.

    Args:
        x: (N, *feature), NumPy or tensor. uint8 images (N, channels, height, width) stay uint8 in memory.
        y: (N,) labels of any kind: integers, strings. Each different label is a class, named by it.
        ways, shots, queries: of an episode; each a number, or a range (low, high) from which it is drawn once for each batch.
        split: of the classes: fractions or numbers for meta-training, meta-validation and meta-test; or the names as
            {"train": ..., "validation": ..., "test": ...}, as `family.classes` has them; or a folder of lists, see
            `quickstudy.tasks.class_lists`.
        seed: of a split by fractions.
        augment: task augmentation of meta-training: `Rotations()`, `PermuteLabels()`, `FeatureNoise(std)`, `MixTasks(alpha)`.
        transform: image transforms of meta-training: `RandomCrop(padding)`, `RandomFlip()`, `ColourJitter()`.
        preprocessing: how an image file becomes an example; it normalises images as episodes are gathered.

    Raises:
        ShapeError: x and y of different length; examples of different shapes.
        LabelError: one label for all, or none.
        TaskError: a split naming an unknown class or one class twice; more ways, shots or queries than the data can give.
        NotFiniteError: NaN or infinity in x.
    """
    x, labels = as_tensor(x), as_names(y)
    if len(x) != len(labels):
        raise ShapeError(
            "x, y",
            expected="as many labels as examples",
            got=f"{len(x)} and {len(labels)}",
            do="Give one label for every example.",
        )
    names = sorted(dict.fromkeys(labels), key=_natural)
    if len(names) < 3:
        raise LabelError(
            "y",
            expected="three classes or more: some to train, to validate and to test",
            got=f"{len(names)}: {names[:3]}",
            do="Bring more classes, or adapt a learner that is meta-trained already (quickstudy predict).",
        )
    number = {name: index for index, name in enumerate(names)}
    own = torch.tensor([number[label] for label in labels])
    parts = split_classes(names, split, seed)

    def tasks(part: str) -> LabelledTasks:
        chosen = parts[part]
        place = torch.full((len(names),), -1)
        place[[number[name] for name in chosen]] = torch.arange(len(chosen))
        rows = (place[own] >= 0).nonzero().flatten()
        part_x, part_y, part_names = x[rows], place[own][rows], list(chosen)
        training = part == "train"
        for one in augment if training else ():
            if isinstance(one, Rotations):
                part_x, part_y, part_names = one.classes(part_x, part_y, part_names)
        return LabelledTasks(
            part_x,
            part_y,
            ways=ways,
            shots=shots,
            queries=queries,
            class_names=part_names,
            preprocessing=preprocessing,
            transform=transform if training else (),
            augment=[one for one in augment if not isinstance(one, Rotations)] if training else (),
        )

    return TaskFamily(tasks("train"), tasks("validation"), tasks("test"))


def as_tensor(x: Any) -> Tensor:
    """Examples as one tensor; floats as float32.

    Raises:
        ShapeError: examples of different shapes.
        LabelError: text where numbers are needed.
    """
    if not isinstance(x, Tensor):
        try:
            array = np.stack([np.asarray(one) for one in x]) if isinstance(x, list | tuple) else np.asarray(x)
        except ValueError as error:
            shapes = list(dict.fromkeys(np.shape(one) for one in x))
            raise ShapeError(
                "x",
                expected="examples of one shape",
                got=" and ".join(map(str, shapes[:3])),
                do="Resize or pad them to one size.",
            ) from error
        if array.dtype.kind not in "biuf":
            raise LabelError(
                "x",
                expected="numbers",
                got=f"dtype {array.dtype}, such as {array.flat[0].item()!r}",
                do="Turn text into features first.",
            )
        x = torch.from_numpy(np.ascontiguousarray(array))
    return x.to(torch.float32) if x.dtype in (torch.float64, torch.float16, torch.bool) or _is_wide(x) else x


def as_names(y: Any) -> list[str]:
    """Labels of any kind as class names."""
    values = y.tolist() if isinstance(y, Tensor | np.ndarray) else list(y)
    return [str(int(value)) if isinstance(value, float) and value.is_integer() else str(value) for value in values]


def _is_wide(x: Tensor) -> bool:
    return not x.is_floating_point() and x.dtype != torch.uint8


def _natural(name: str) -> tuple[int, int, str]:
    """Numbers by their value, before text by its letters."""
    return (0, int(name), "") if name.lstrip("-").isdigit() else (1, 0, name)
