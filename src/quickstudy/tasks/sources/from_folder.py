"""from_folder: files in a folder for each class as few-shot tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from quickstudy.options import hands_on
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.splits import STEMS, Splits
from quickstudy.tasks.sources.folders import class_folders, kind_of_folder
from quickstudy.tasks.sources.kind import check_options
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions, parted
from quickstudy.tasks.sources.source import family_of


@hands_on(SourceOptions, Protocol, **READING)
def from_folder(path: str | Path, *, kind: str | None = None, **options: Unpack[SourceOptions]) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from files, one folder a class.

    Args:
        path: PATH/class/image.png, in any depth (`superclass/class/` too: the class is named 'superclass/class'); or
            PATH/train/class/..., PATH/val/class/..., PATH/test/class/... .
        kind: "images", "sounds", "texts", or what a domain calls its own; None: what the suffixes of the files tell.

    Other Args:
        options: see `SourceOptions`. `split` None: the folders train, val (or validation, valid) and test where there are such.
            A split that is given goes before the folders, whose classes are then pooled. The layouts of miniImageNet,
            tieredImageNet, CIFAR-FS, FC100 and CUB are read with `split=` a folder of their published lists.

    Raises:
        DataError: no such folder, no class in it, a class without files, files of several kinds, a file that cannot be read.
        UnsupportedError: a kind that no installed domain reads.
        LabelError, TaskError, ArgumentError: see `from_arrays`.
    """
    root = Path(path)
    protocol, given = parted(options)
    reads = kind_of_folder(root, kind)
    check_options(reads, given)
    folders = {part: next((root / stem for stem in stems if (root / stem).is_dir()), None) for part, stems in STEMS.items()}
    files: list[Path] = []
    labels: list[str] = []
    parts: Splits = {}
    for part, folder in folders.items() if all(folders.values()) else [("all", root)]:
        classes = class_folders(folder or root, reads)
        parts[part] = list(classes)
        files += [file for own in classes.values() for file in own]
        labels += [name for name, own in classes.items() for _ in own]
    return family_of(labels, reads.of_files(files, **given), protocol, parts=None if "all" in parts else parts)
