"""from_folder: a folder of images for each class as few-shot tasks. from_files: any list of image files with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from quickstudy.domains.images.images import class_folders, read_all
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import STEMS, Splits
from quickstudy.tasks.sources.source import Augment, Protocol, family_of


def from_folder(
    path: str | Path,
    *,
    ways: Size = 5,
    shots: Size = 1,
    queries: Size = 15,
    split: Split | None = None,
    seed: int = 0,
    size: int = 84,
    channels: int = 3,
    invert: bool = False,
    normalise: bool = True,
    augment: Augment = (),
    transform: Sequence[Transform] = (),
) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from images, one folder a class.

    Args:
        path: PATH/class/image.png, in any depth (`superclass/class/` too: the class is named 'superclass/class'); or
            PATH/train/class/..., PATH/val/class/..., PATH/test/class/... .
        ways, shots, queries, seed, augment, transform: see `from_arrays`.
        split: see `from_arrays`; None: the folders train, val (or validation, valid) and test where there are such, else
            (0.64, 0.16, 0.2). What is given here goes before the folders, whose classes are then pooled. The layouts of
            miniImageNet, tieredImageNet, CIFAR-FS, FC100 and CUB are read with `split=` a folder of their published lists.
        size: pixels a side, to which every image is shrunk and cropped.
        channels: 1 for grey, 3 for colour.
        invert: white ground becomes 0.
        normalise: to mean 0 and standard deviation 1 of each channel, over the meta-training images.

    Raises:
        DataError: no such folder, no class in it, a class without images, an image that cannot be read.
        LabelError, TaskError, ArgumentError: see `from_arrays`.
    """
    root = Path(path)
    folders = {part: next((root / stem for stem in stems if (root / stem).is_dir()), None) for part, stems in STEMS.items()}
    files: list[Path] = []
    labels: list[str] = []
    parts: Splits = {}
    for part, folder in folders.items() if all(folders.values()) else [("all", root)]:
        classes = class_folders(folder or root)
        parts[part] = list(classes)
        files += [file for own in classes.values() for file in own]
        labels += [name for name, own in classes.items() for _ in own]
    protocol = Protocol(ways, shots, queries, split, seed, augment, transform)
    reads = Preprocessing(size, channels, invert)
    return from_files(files, labels, reads, protocol, normalise=normalise, parts=None if "all" in parts else parts)


def from_files(
    files: Sequence[Path],
    labels: Sequence[str],
    reads: Preprocessing,
    protocol: Protocol,
    *,
    normalise: bool = True,
    parts: Splits | None = None,
) -> TaskFamily[LabelledTasks]:
    """Tasks from image files with a label each. Only files of a class that the split names are read, each once."""

    def take(rows: list[int], what: str) -> Tensor:
        return read_all([files[row] for row in rows], reads, what)

    return family_of(labels, take, protocol, preprocessing=reads, normalise=normalise, parts=parts)
