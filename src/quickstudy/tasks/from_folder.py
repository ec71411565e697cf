"""from_folder: a folder of images for each class as few-shot tasks. from_files: any list of image files with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from quickstudy.errors import TaskError
from quickstudy.tasks.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution import LabelledTasks
from quickstudy.tasks.family import TaskFamily
from quickstudy.tasks.from_arrays import from_arrays
from quickstudy.tasks.images import class_folders, read_all
from quickstudy.tasks.preprocessing import Preprocessing
from quickstudy.tasks.size import Size
from quickstudy.tasks.splits import STEMS


def from_folder(
    path: str | Path,
    *,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split = FRACTIONS,
    seed: int = 0,
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    augment: Sequence[Any] = (),
    transform: Sequence[Any] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from images, one folder a class.

    Args:
        path: PATH/class/image.png, in any depth (`superclass/class/` too: the class is named 'superclass/class'); or
            PATH/train/class/..., PATH/val/class/..., PATH/test/class/..., and then `split` and `seed` are not used.
        ways, shots, queries, split, seed, augment, transform: see `from_arrays`. The layouts of miniImageNet, tieredImageNet,
            CIFAR-FS, FC100 and CUB are read with `split=` a folder of their published lists.
        size: pixels a side, to which every image is shrunk and cropped.
        channels: 1 for grey, 3 for colour.
        invert: white ground becomes 0.
        normalise: to mean 0 and standard deviation 1 of each channel over the meta-training images.

    Raises:
        DataError: no such folder, no class in it, a class without images, an image that cannot be read.
        TaskError: a split naming an unknown class; more ways, shots or queries than there are; see `from_arrays`.
    """
    root = Path(path)
    given = {part: next((root / stem for stem in stems if (root / stem).is_dir()), None) for part, stems in STEMS.items()}
    if all(given.values()):
        classes: dict[str, list[Path]] = {}
        names: dict[str, list[str]] = {}
        for part, folder in given.items():
            own = class_folders(folder)  # type: ignore[arg-type]
            if shared := sorted(set(own) & set(classes)):
                raise TaskError(
                    str(root), expected="parts that share no class", got=f"class {shared[0]!r} in two", do="Remove it from one."
                )
            classes.update(own)
            names[part] = list(own)
        split = names
    else:
        classes = class_folders(root)
    files = [file for own in classes.values() for file in own]
    labels = [name for name, own in classes.items() for _ in own]
    protocol = {"ways": ways, "shots": shots, "queries": queries, "split": split, "seed": seed}
    reads = Preprocessing(size, channels, invert)
    return from_files(files, labels, reads, normalise=normalise, augment=augment, transform=transform, **protocol)


def from_files(
    files: Sequence[Path], labels: Sequence[str], reads: Preprocessing, *, normalise: bool = True, **arguments: Any
) -> TaskFamily[LabelledTasks]:
    """Tasks from image files with a label each; see `from_folder`."""
    split = split_classes(sorted(set(labels)), arguments.pop("split"), arguments.get("seed", 0))
    images = read_all(files, reads)
    if normalise:
        train = set(split["train"])
        reads = reads.fitted(images[torch.tensor([label in train for label in labels])])
    return from_arrays(images, list(labels), split=split, preprocessing=reads, **arguments)
