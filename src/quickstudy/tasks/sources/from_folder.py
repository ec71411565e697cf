"""from_folder: files as few-shot tasks, with one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from quickstudy.arguments import checked
from quickstudy.calls import remembered
from quickstudy.options import hands_on
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.splits import STEMS, Splits
from quickstudy.tasks.sources.folders import class_folders, kind_of_folder
from quickstudy.tasks.sources.kind import check_options
from quickstudy.tasks.sources.options import READING, Protocol, SourceOptions, parted
from quickstudy.tasks.sources.source import family_of

SUPERCLASS = "superclass"


@remembered
@checked
@hands_on(SourceOptions, Protocol, **READING)
def from_folder(path: str | Path, *, kind: str | None = None, **options: Unpack[SourceOptions]) -> TaskFamily[LabelledTasks]:
    """Few-shot tasks from files, one folder per class.

    Args:
        path: PATH/class/image.png, at any depth (`superclass/class/` too: the class is named 'superclass/class'); or
            PATH/train/class/..., PATH/val/class/..., PATH/test/class/... .
            Where classes are nested, their parent is the column "superclass": within="superclass".
        kind: "images", "recordings", "texts", or another kind that a domain defines; None: by the suffixes of the files.

    Other Args:
        options: see `SourceOptions`. `split` None: the folders train, val (or validation, valid) and test if present.
            A given `split` overrides these folders and pools their classes. The layouts of miniImageNet,
            tieredImageNet, CIFAR-FS, FC100 and CUB are read with `split=` a folder of their published lists.

    Raises:
        DataError: no such folder, no class in it, a class without files, files of several kinds, a file that cannot be read.
        UnsupportedError: a kind that no installed domain reads.
        LabelError, TaskError, ArgumentError: see `from_arrays`.

    Examples:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for number in range(24):
        ...     path = Path("animals", "cat dog fox owl bee ant".split()[number % 6], f"{number}.png")
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (32, 32), (10 * number, 0, 0)).save(path)
        >>> tasks = qs.tasks.from_folder("animals", ways=2, shots=1, queries=3, split=(2, 2, 2), size=16)
        >>> tasks.train.sample(4).support.x.shape
        torch.Size([4, 2, 3, 16, 16])
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
        files += [file for of_class in classes.values() for file in of_class]
        labels += [name for name, of_class in classes.items() for _ in of_class]
    nested = any("/" in name for name in labels)
    columns = {SUPERCLASS: [name.rpartition("/")[0] or "." for name in labels]} if nested else {}
    split = None if "all" in parts else parts
    return family_of(labels, reads.of_files(files, **given), protocol, parts=split, columns=columns)
