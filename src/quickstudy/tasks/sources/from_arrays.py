"""from_arrays: labelled arrays as few-shot tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quickstudy.domains.images.array_images import as_images
from quickstudy.errors import LabelError, ShapeError
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split
from quickstudy.tasks.distribution.class_names import as_names
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.labelled import LabelledTasks, gathered
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.source import Augment, Protocol, family_of


def from_arrays(
    x: Any,
    y: Any,
    *,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split = FRACTIONS,
    seed: int = 0,
    size: int | None = None,
    channels: int | None = None,
    invert: bool = False,
    normalise: bool = True,
    augment: Augment = (),
    transform: Sequence[Transform] = (),
) -> TaskFamily[LabelledTasks]:
    """N-way K-shot tasks from labelled data.

    Args:
        x: (N, *feature), NumPy, tensor or list. It is taken for images where it is uint8 of three or four axes, or where `size`,
            `channels` or `invert` is given: (N, height, width), (N, channels, height, width) or (N, height, width, channels).
        y: (N,) labels of any kind: integers, strings. Each different label is a class, named by it. Classes may differ in size.
        ways, shots, queries: of an episode; each a number, or a range (low, high) from which it is drawn once for each batch.
        split: of the classes: fractions or numbers for meta-training, meta-validation and meta-test; or their names as
            {"train": [...], "validation": [...], "test": [...]}, as `family.classes` has them; or the path of lists, see
            `quickstudy.tasks.distribution.class_lists`.
        seed: of a split by fractions.
        size: pixels a side to which images are shrunk and cropped; None: as they are.
        channels: 1 for grey, 3 for colour; None: as they are.
        invert: white ground becomes 0.
        normalise: images to mean 0 and standard deviation 1 of each channel, over the meta-training classes.
        augment: task augmentation of meta-training: `Rotations()`, `PermuteLabels()`, `FeatureNoise(std)`, `MixTasks(alpha)`.
        transform: image transforms of meta-training: `RandomCrop(padding)`, `RandomFlip()`, `ColourJitter()`, ...

    Raises:
        ShapeError: x and y of different length; examples of different shapes.
        LabelError: text in x; a label that is missing; fewer than three classes.
        TaskError: a split naming an unknown class or one class twice; more ways, shots or queries than the data can give.
        ArgumentError: a size that is none, fractions that cannot be, images outside [0, 1].
        NotFiniteError: NaN or infinity in x.
    """
    names = as_names(y)
    if _length(x) != len(names):
        raise ShapeError(
            "x, y",
            expected="as many labels as examples",
            got=f"{_length(x)} and {len(names)}",
            do="Give one label for every example.",
        )
    protocol = Protocol(ways, shots, queries, split, seed, augment, transform)
    asked = size is not None or channels is not None or invert
    images = [np.asarray(one) for one in x] if size is not None and isinstance(x, list | tuple) else as_tensor(x)
    preprocessing = None
    if asked or (isinstance(images, Tensor) and images.dtype in (torch.uint8, torch.uint16) and images.ndim in (3, 4)):
        images, preprocessing = as_images(images, size, channels, invert)
    data = images if isinstance(images, Tensor) else as_tensor(images)
    check_x(data)

    def take(rows: list[int], what: str) -> Tensor:
        return gathered(data, torch.tensor(rows))

    return family_of(names, take, protocol, preprocessing=preprocessing, normalise=normalise)


def as_tensor(x: Any, argument: str = "x") -> Tensor:
    """Numbers as one tensor: floats in torch's default dtype, bytes as they are, other integers as int64.

    Raises:
        ShapeError: examples of different shapes.
        LabelError: text where numbers are asked.
    """
    if not isinstance(x, Tensor):
        try:
            array = np.stack([np.asarray(one) for one in x]) if isinstance(x, list | tuple) else np.asarray(x)
        except ValueError as error:
            shapes = list(dict.fromkeys(np.shape(one) for one in x))
            raise ShapeError(
                argument,
                expected="examples of one shape",
                got=" and ".join(map(str, shapes[:3])) if shapes else "none",
                do="Resize or pad them to one size; images are with `size=`." if shapes else "Bring some.",
            ) from error
        if array.dtype == object:
            array = _numbers(array)
        if array.dtype.kind not in "biuf":
            raise LabelError(
                argument,
                expected="numbers",
                got=f"dtype {array.dtype}, such as {str(array.flat[0])[:40]!r}" if array.size else f"dtype {array.dtype}",
                do="Turn text into features first.",
            )
        x = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if x.dtype in (torch.uint8, torch.uint16):
        return x
    return x.to(torch.get_default_dtype() if x.is_floating_point() or x.dtype == torch.bool else torch.int64)


def _numbers(array: np.ndarray) -> np.ndarray:
    """An array of objects that are all numbers, such as a table's values; as it is where one of them is none."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array


def _length(x: Any) -> int:
    return len(x) if getattr(x, "ndim", 1) and hasattr(x, "__len__") else 0
