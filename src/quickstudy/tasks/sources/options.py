"""Options that every source takes besides its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.tasks.construction.augmentation.expand import class_augmentations
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, EpisodeAugmentation
from quickstudy.tasks.distribution.class_lists import Split
from quickstudy.tasks.distribution.interface import Transform
from quickstudy.tasks.distribution.size import Size, check_size
from quickstudy.tasks.sources.repeats import Repeats

Augment = Sequence[ClassAugmentation | EpisodeAugmentation]
Part = Literal["test"] | None
QUERIES = 15  # of each class, where it has as many


class ProtocolOptions(TypedDict, total=False):
    """How episodes are made from classes.

    Attributes:
        ways: classes of an episode: a number, or a range (low, high) from which it is drawn once for each batch.
        shots: support examples of each class, likewise.
        queries: query examples of each class, likewise; None: as many as the smallest class leaves, at most 15.
        split: of the classes: fractions or numbers for meta-training, meta-validation and meta-test; or their names as
            {"train": [...], "validation": [...], "test": [...]}, as `family.classes` has them; or the path of class lists, see
            `quickstudy.tasks.distribution.class_lists`. None: as the files are laid out, else (0.64, 0.16, 0.2).
        within: the column within one group of which all classes of an episode are drawn, such as "alphabet": first a group,
            uniformly among those of the part with `ways` classes or more, then its classes, uniformly. A smaller group is left
            out and named in `protocol`. Fractions and numbers of `split` then count groups, so that no group is in two parts.
            None: the classes of an episode are drawn from all.
        part: "test": all classes are meta-test ones, to score a trained learner on; there is no meta-training part. None: split.
        seed: of a split by fractions.
        broken: "refuse": files that cannot be read are an error, which names all of them; "leave out": they are named in a
            `DataWarning`, and the others make the tasks.
        repeats: of texts, and of what else tells what it is, that are there in two classes: "refuse", or "leave out", all of
            them. One that is there twice in one class is kept once, with a `DataWarning`.
        augment: task augmentation of meta-training: `Rotations()`, `SplitClasses()` and `MergeClasses()` make new classes, once;
            `FeatureNoise(std)`, `LabelNoise(probability)` and `MetaMix(alpha)` new examples; `MixTasks(alpha)`,
            `ShuffleChannels()`, `PermuteChannels()` and `PermuteLabels()` new tasks.
        transform: image transforms of meta-training: `RandomCrop(padding)`, `RandomFlip()`, `ColourJitter()`, ...
    """

    ways: Size
    shots: Size
    queries: Size | None
    split: Split | None
    within: str | None
    part: Part
    seed: int
    broken: Literal["refuse", "leave out"]
    repeats: Repeats
    augment: Augment
    transform: Sequence[Transform]


class SourceOptions(ProtocolOptions, total=False):
    """Options that every source takes besides its data: `ProtocolOptions`, and how items are read, as far as their kind allows.

    Attributes:
        size: of images: pixels per side, to which each is shrunk and cropped. None: 84 for files, unchanged in memory.
        channels: of images: 1 for grey, 3 for colour. None: 3 for files, unchanged in memory.
        invert: of images: white ground becomes 0. None: no.
        normalise: of images: to mean 0 and standard deviation 1 of each channel, over the meta-training classes; of recordings:
            to one loudness. None: yes.
        memory: of images and recordings: bytes of them that are kept in memory. They are then read as they are drawn, by no more
            than 1000 to normalise when the source is opened, and the least recently drawn are dropped; a broken one is an error
            when it is drawn. Parts are then not compared by content: `family.check_contents()` reads all of them for it.
            None: all are read when the source is opened.
        length: of texts: bytes of each that are read. None: 128.
        rate: of recordings: samples a second that a learner gets; files are brought to it. None: 16000 for files. An array does
            not tell its rate: `rate` is what it was recorded at, and stays.
        seconds: of recordings: how much of each is kept; a shorter one has zeros behind it. None: 1.
        trim: of recordings: leave out the silence at both ends. None: yes.
    """

    size: int | None
    channels: int | None
    invert: bool | None
    normalise: bool | None
    memory: PositiveInt | None
    length: PositiveInt | None
    rate: PositiveInt | None
    seconds: PositiveFloat | None
    trim: bool | None


@checked
@dataclass(frozen=True)
class Protocol:
    """`ProtocolOptions`, with their defaults."""

    ways: Size = 5
    shots: Size = 1
    queries: Size | None = QUERIES
    split: Split | None = None
    within: str | None = None
    part: Part = None
    seed: int = 0
    broken: Literal["refuse", "leave out"] = "refuse"
    repeats: Repeats = "refuse"
    augment: Augment = ()
    transform: Sequence[Transform] = ()

    def check(self) -> None:
        """Raise ArgumentError or UnsupportedError if no data could satisfy it."""
        check_size("ways", self.ways, 1)
        check_size("shots", self.shots, 0)
        if self.queries is not None:
            check_size("queries", self.queries, 1)
        check_part(self.part, split=self.split, augment=self.augment, transform=self.transform)
        for name, given in (("augment", self.augment), ("transform", self.transform)):
            for one in given:
                if isinstance(one, type) or not (callable(one) or isinstance(one, ClassAugmentation)):
                    raise UnsupportedError(
                        name,
                        expected="objects, as in augment=[Rotations()] and transform=[RandomFlip()]",
                        got=f"the class {one.__name__}" if isinstance(one, type) else repr(one)[:60],
                        do="Call the class." if isinstance(one, type) else "See quickstudy.tasks for those there are.",
                    )
        class_augmentations(self.augment)


def check_part(part: Part, **training: Any) -> None:
    """Raise ArgumentError where what makes or changes meta-training classes is given beside a `part` of all classes."""
    if part is None:
        return
    for name, value in training.items():
        if value:
            raise ArgumentError(
                name,
                expected=f"nothing beside part={part!r}, by which all classes are meta-test ones",
                got=repr(value)[:100],
                do=f"Leave `{name}` out, or `part`.",
            )


READING = dict.fromkeys(  # None: the default of the kind
    ("size", "channels", "invert", "normalise", "memory", "length", "rate", "seconds", "trim")
)


def parted(options: Mapping[str, Any]) -> tuple[Protocol, dict[str, Any]]:
    """The protocol, and the reading options that were given."""
    protocol = Protocol(**{name: value for name, value in options.items() if name not in READING})
    return protocol, {name: options[name] for name in READING if options.get(name) is not None}
