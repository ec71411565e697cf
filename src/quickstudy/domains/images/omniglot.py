"""Omniglot: 1623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Source: Lake, Salakhutdinov & Tenenbaum, "Human-level concept learning through probabilistic program induction", Science 2015.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from quickstudy.arguments import checked
from quickstudy.domains.images.omniglot_images import DRAWERS, fetch, read_images
from quickstudy.domains.images.preprocessing import Preprocessing
from quickstudy.errors import DataError
from quickstudy.tasks.construction.augmentation import Rotations
from quickstudy.tasks.distribution.class_lists import split_classes
from quickstudy.tasks.distribution.columns import check_known
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import Splits, random_split, read_split
from quickstudy.tasks.sources.options import Augment, Part, check_part
from quickstudy.tasks.sources.with_classes import with_classes

RANDOM_SIZES = (1100, 100, 423)  # characters for train, validation and test
ALPHABET, DRAWER = "alphabet", "drawer"
VALIDATION_ALPHABETS = 5  # of the 30 background alphabets


@checked
class Omniglot(TaskFamily[LabelledTasks]):
    """Omniglot as few-shot tasks: images (1, size, size), ink 1 on ground 0; classes 'Alphabet/characterNN[/rot090]'.

    Args:
        root: folder with images_background.zip and images_evaluation.zip, or with those two folders extracted.
        ways: classes of an episode, or a range (low, high) from which it is drawn for each batch; likewise `shots` and `queries`.
        shots: support examples of each class.
        queries: query examples of each class.
        split: the characters for train, validation and test:
            "random", 1100, 100 and 423 of them under `seed`, the sizes of Finn et al. 2017;
            "alphabet", as published: test on the 20 evaluation alphabets, validate on the last 5 (by name) of 30 background ones;
            a folder of split files (see `tasks.read_split`), such as Vinyals et al.'s 1028, 172 and 423;
            or the names as {"train": [...], "validation": [...], "test": [...]}, as `family.classes` has them.
        part: "test": all 1623 characters are meta-test ones, to score a trained learner on. None: split.
        rotations: add characters rotated by 90, 180 and 270 degrees as further classes, in meta-training only. (Snell et al.
            2017 rotate those of meta-test too, which changes the score.)
        augment: further augmentation of meta-training: see `quickstudy.tasks.construction.augmentation`.
        size: pixels per side, averaged down from 105.
        within: "alphabet": all classes of an episode are of one alphabet, drawn uniformly among those with `ways` characters or
            more in that part; the others are left out and named in `protocol`. It asks for whole alphabets, as split="alphabet"
            has them; a rotated alphabet is one of its own. None: from all alphabets.
        seed: of the random split.
        download: fetch the official zips, verified by checksum, if root lacks them.

    Raises:
        DataError: no data in root, a broken zip, a wrong checksum, counts other than Omniglot's; a split without a class.
        TaskError: a class in two splits; more ways, shots or queries than the data can give, or ways than any alphabet has.
        ArgumentError: `within` of another name; an augmentation that makes new classes twice.
        UnsupportedError: an augmentation that cannot change such tasks.
        LabelError: a class twice in one split.

    Examples:
        >>> tasks = qs.tasks.Omniglot("data/omniglot", ways=20, shots=1)  # download=True fetches the zips
        Traceback (most recent call last):
            ...
        quickstudy.errors.DataError: ...
    """

    def __init__(
        self,
        root: str | Path,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 15,
        *,
        split: str | Path | Mapping[str, Sequence[str]] = "random",
        part: Part = None,
        rotations: bool = True,
        augment: Augment = (),
        size: int = 28,
        within: str | None = None,
        seed: int = 0,
        download: bool = False,
    ):
        if within is not None:
            check_known(within, {ALPHABET: None})
        if download:
            fetch(Path(root))
        images = read_images(Path(root), size)
        check_part(part, split=None if split == "random" else split, augment=augment)
        chosen: Splits = _split(list(images), split, seed) if part is None else {part: list(images)}

        def tasks(part: str) -> LabelledTasks:
            names = [name.partition("/")[2] for name in chosen[part]]
            x = torch.stack([images[name] for name in chosen[part]])
            y, x = torch.arange(len(x)).repeat_interleave(x.shape[1]), x.flatten(0, 1)
            training = part == "train"
            return with_classes(
                x,
                y,
                names,
                ([Rotations()] if rotations and training else []) + (list(augment) if training else []),
                ways=ways,
                shots=shots,
                queries=queries,
                preprocessing=Preprocessing(size, channels=1, invert=True),
                columns={
                    ALPHABET: {name: name.partition("/")[0] for name in names},
                    DRAWER: [f"{drawer:02d}" for drawer in range(1, DRAWERS + 1)] * len(names),
                },
                within=within,
            )

        super().__init__(*(tasks(name) if name in chosen else None for name in SPLITS))


def _split(classes: list[str], split: str | Path | Mapping[str, Sequence[str]], seed: int) -> Splits:
    """The classes 'part/Alphabet/characterNN' of each split."""
    if split == "random":
        train, validation, test = random_split(classes, RANDOM_SIZES, seed=seed)
        return {"train": train, "validation": validation, "test": test}
    if split == "alphabet":
        background = [name for name in classes if name.startswith("images_background/")]
        held = sorted({name.split("/")[1] for name in background})[-VALIDATION_ALPHABETS:]
        return {
            "train": [name for name in background if name.split("/")[1] not in held],
            "validation": [name for name in background if name.split("/")[1] in held],
            "test": [name for name in classes if name.startswith("images_evaluation/")],
        }
    full = {name.partition("/")[2]: name for name in classes}
    if isinstance(split, Mapping):
        return {part: [full[name] for name in names] for part, names in split_classes(list(full), split, seed).items()}
    named = read_split(split)
    for part, names in named.items():
        if foreign := [name for name in names if name not in full]:
            raise DataError(
                f"split={str(split)!r}",
                expected="names of Omniglot's classes",
                got=f"{foreign[0]!r} in {part}",
                do="Use the split files as they were published.",
            )
        if not names:
            raise DataError(f"split={str(split)!r}", expected="classes in every split", got=f"none in {part}", do="Name some.")
    return {part: [full[name] for name in names] for part, names in named.items()}
