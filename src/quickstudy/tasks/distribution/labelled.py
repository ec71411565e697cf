"""N-way K-shot episodes from labelled data, held in memory or read as they are drawn.

    classes   ~  uniform, `ways` of C without replacement; the i-th drawn has label i. Of one group: see `within`
    examples  ~  uniform, `shots` + `queries` of each class without replacement; the first are support, the others query

A batch of n episodes is drawn without a Python loop over tasks. Indices come from a CPU generator whatever the data's device,
so one seed gives the same episodes everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Literal, Self

import torch
from torch import Tensor

from quickstudy import registry
from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.targets import Labels
from quickstudy.targets.known_classes import KnownClasses
from quickstudy.tasks.construction.augmentation.expand import LAYER
from quickstudy.tasks.construction.augmentation.kinds import (
    ClassAugmentation,
    EpisodeAugmentation,
    augmented,
    check_tasks,
    described,
    said,
)
from quickstudy.tasks.distribution.class_index import ClassIndex
from quickstudy.tasks.distribution.columns import check_known, read_columns
from quickstudy.tasks.distribution.content import Content, Held, check_content, of_numbers
from quickstudy.tasks.distribution.family import TaskFamily as TaskFamily
from quickstudy.tasks.distribution.generator import fresh_generator
from quickstudy.tasks.distribution.interface import Preprocessing, TaskDistribution, Transform, check_count
from quickstudy.tasks.distribution.layers import Layers
from quickstudy.tasks.distribution.lazy_rows import LazyRows
from quickstudy.tasks.distribution.rows import as_float, check_transform, gathered, selected
from quickstudy.tasks.distribution.size import Size, check_size, drawn, largest
from quickstudy.tasks.distribution.splits import random_split
from quickstudy.tasks.distribution.within import Within
from quickstudy.tasks.sources.labels import check_enough, check_names, check_x, check_y


@checked
class LabelledTasks(TaskDistribution):
    """N-way K-shot episodes over labelled data.

    Args:
        x: (N, *feature), a tensor or `LazyRows`, which are read as they are drawn. uint8 images stay uint8 in memory and become
            float32 in [0, 1] as episodes are gathered.
        y: (N,) global labels 0..C-1, each at least once; classes may differ in size.
        ways: classes of an episode.
        shots, queries: support and query examples of each class. Each of the three is an int, or a range (low, high), both
            included, from which one value is drawn for each call of `sample`, so that a batch is never ragged.
        class_names: C different names; None: the labels as text.
        preprocessing: normalises images as episodes are gathered.
        transform: image transforms, for meta-training: see `domains.images.transform`. They see images in [0, 1], before these
            are normalised.
        augment: changes of whole episodes, for meta-training: see `quickstudy.tasks.construction.augmentation`.
        columns: what else is known of the data, by name: the group of each example (N,), or a mapping from class name to group.
        within: the column within one group of which all classes of an episode are drawn: first a group, uniformly among those
            with `ways` classes or more, then its classes, uniformly. A smaller group is left out and named in `protocol`. None:
            the classes of an episode are drawn from all.
        made: the augmentations that have made classes of these data, as sources do before they hand the data on; `protocol` says
            so. Where their classes share examples, the column "augmentation" says which one made each.
        content: what tells that two examples are the same, such as a text or a molecule that x encodes; None: x itself.

    Raises:
        ShapeError: x and y of different length, or empty; a number of names other than the number of classes; a column, or
            contents, of another length.
        LabelError: labels that are not integers, or that skip a number; a duplicate class name; a missing group.
        NotFiniteError: NaN or infinity in x.
        ArgumentError: ways or queries below 1, shots below 0, or one that is neither an int nor a (low, high) range; an
            unknown column.
        TaskError: more ways than classes, or than any group has; a class with fewer than shots + queries examples; a class in
            several groups of `within`.
        UnsupportedError: transforms for data that are not images; an augmentation that cannot change such tasks.

    Examples:
        >>> x, y = torch.randn(200, 4), torch.arange(200) // 10  # 20 classes of 10 examples
        >>> tasks = qs.tasks.LabelledTasks(x, y, ways=5, shots=1, queries=3)
        >>> episodes = tasks.sample(8)
        >>> episodes.support.x.shape, episodes.query.y.shape
        (torch.Size([8, 5, 4]), torch.Size([8, 15]))
        >>> family = tasks.with_(ways=3).split(seed=0)
        >>> len(family.train.class_names)
        13
    """

    ways: Size
    renumber = True  # whether the classes of an episode are numbered anew
    within: Within | None = None  # attributes of the object only if there are some: the fingerprint reads those
    layers: Layers | None = None
    made: tuple[ClassAugmentation, ...] = ()
    content: Content | None = None

    def __init__(
        self,
        x: Tensor | LazyRows,
        y: Tensor,
        *,
        ways: Size = 5,
        shots: Size = 1,
        queries: Size = 15,
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        transform: Sequence[Transform] = (),
        augment: Sequence[EpisodeAugmentation] = (),
        columns: Mapping[str, Any] | None = None,
        within: str | None = None,
        made: Sequence[ClassAugmentation] = (),
        content: Content | None = None,
    ):
        check_y(x, y)
        check_x(x)
        self.x: Any = x  # a tensor, or LazyRows
        self.y = y.to(x.device, torch.int64)
        self.index = ClassIndex(self.y)
        self.class_names = [str(label) for label in range(len(self.counts))] if class_names is None else list(class_names)
        check_names(self.class_names, len(self.counts))
        self.ways, self.shots, self.queries = ways, shots, queries
        self.preprocessing, self.transform, self.augment = preprocessing, tuple(transform), tuple(augment)
        check_transform(self.transform, x)
        self.columns = read_columns(columns, [self.class_names[label] for label in self.y.tolist()]) if columns else {}
        if made:
            self.made = tuple(made)
        if any(one.shares_examples for one in made):
            self.layers = Layers.read(LAYER, self.columns[LAYER], self.index)
        if within is not None:
            self._group(within)
        if content is not None:
            check_content(content, len(self.y))
            self.content = content
        self.check_protocol()

    @property
    def counts(self) -> Tensor:
        """(C,) examples of each class."""
        return self.index.counts

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        """n episodes: x (tasks, ways * each, *feature), labels (tasks, ways * each) 0..ways-1 in shuffled order.

        Raises:
            ArgumentError: n below 1.
        """
        check_count(n)
        generator = generator or fresh_generator()
        ways, shots, queries = (drawn(size, generator) for size in (self.ways, self.shots, self.queries))
        return augmented(self.augment, n, generator, lambda tasks: self._drawn(tasks, ways, shots, queries, generator))

    def _drawn(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        classes = self._classes(n, ways, generator)
        rows = self.index.choose_rows(classes, shots + queries, generator)  # (tasks, ways, shots + queries)
        support, query = rows.split((shots, queries), dim=2)
        known = KnownClasses(classes, self.class_names)
        return Episode(self._gathered(support, generator), self._gathered(query, generator), classes=known)

    def _classes(self, n: int, ways: int, generator: torch.Generator) -> Tensor:
        """The classes of n episodes: (tasks, ways)."""
        if self.within is not None:
            return self.within.choose_classes(n, ways, largest(self.ways), generator)
        return (self.layers or self.index).choose_classes(n, ways, generator)

    def with_(
        self,
        *,
        ways: Size | None = None,
        shots: Size | None = None,
        queries: Size | None = None,
        within: str | Literal[False] | None = None,
    ) -> Self:
        """The same data under another protocol; what is not given stays. `within=False`: classes drawn from all groups.

        Raises:
            ArgumentError, TaskError: as for the constructor.
        """
        other = copy(self)
        if within is not None:
            other.__dict__.pop("within", None)
        if isinstance(within, str):
            other._group(within)
        given = {"ways": ways, "shots": shots, "queries": queries}
        other.__dict__.update({name: size for name, size in given.items() if size is not None})
        other.check_protocol()
        return other

    @property
    def protocol(self) -> dict[str, Any]:
        """ways, shots and queries; `within` and the groups that are too small for it; what each augmentation makes."""
        found = super().protocol
        if self.within is not None:
            found |= {"within": self.within.column, "groups_left_out": self.within.left_out(self.ways)}
        if self.made or self.augment:
            found["augment"] = described((*self.made, *self.augment))
        return found

    def examples(self, rows: Tensor | None = None) -> Examples:
        """All data, or these rows of it: x (N, *feature) as a learner sees them, with global labels 0..C-1 of `class_names`.

        Raises:
            UnsupportedError: an example is of several classes, after `SplitClasses` or `MergeClasses`.
        """
        if self.layers is not None:
            raise UnsupportedError(
                "tasks.examples()",
                expected="one class for each example",
                got=f"several, made by {', '.join(map(repr, self.made))}",
                do="Leave this augmentation out, or meta-train on episodes, which have one class for each.",
            )
        whole = self.x.whole() if rows is None and isinstance(self.x, LazyRows) else self.x
        x, y = (whole, self.y) if rows is None else (gathered(self.x, rows), gathered(self.y, rows))
        return Examples(self.shown(x), y, ways=len(self.counts))

    def to(self, device: str | torch.device) -> Self:
        other = self.with_()
        other.x, other.y = self.x.to(device), self.y.to(device)
        return other

    def only(self, classes: Iterable[int]) -> LabelledTasks:
        """Only these classes, given by their global labels, under the same protocol; they are renumbered in this order."""
        labels = list(classes)
        rows = torch.cat([self.index.of_class(label) for label in labels])
        y = torch.arange(len(labels)).repeat_interleave(self.counts[labels])
        return self._of(rows, y, [self.class_names[label] for label in labels])

    def of_rows(self, rows: Tensor) -> LabelledTasks:
        """Only these examples, of all classes, under the same protocol.

        Raises:
            LabelError: a class without an example.
            TaskError: a class with fewer than shots + queries.
        """
        return self._of(rows, self.y[rows.to(self.y.device)], self.class_names)

    def _of(self, rows: Tensor, y: Tensor, names: Sequence[str]) -> LabelledTasks:
        """The rows with other labels, under the same protocol."""
        return LabelledTasks(
            selected(self.x, rows),
            y,
            ways=self.ways,
            shots=self.shots,
            queries=self.queries,
            class_names=names,
            preprocessing=self.preprocessing,
            transform=self.transform,
            augment=self.augment,
            columns={name: column.rows(rows) for name, column in self.columns.items()},
            within=None if self.within is None else self.within.column,
            made=self.made,
            content=None if self.content is None else self.content.rows(rows),
        )

    def contents(self, *, read: bool = False) -> list[Held]:
        """As given, else by x: that of the kind of data which knows x, such as images, or else the numbers of a row."""
        found = self.content
        if found is None and self.x.device.type != "meta" and (read or not isinstance(self.x, LazyRows)):
            found = content_of(self.x)
        return [] if found is None else [Held(found, self.y.cpu(), self.class_names)]

    def normalised_as(self, other: LabelledTasks) -> Self:
        """The same tasks, normalised by the statistics of others, as a family of several data sets needs it.

        Raises:
            ArgumentError: examples of another shape, which no normalisation brings together.
        """
        if self.x.shape[1:] != other.x.shape[1:]:
            raise ArgumentError(
                "normalised_as(other)",
                expected=f"tasks of shape {tuple(self.x.shape[1:])}, as these have",
                got=str(tuple(other.x.shape[1:])),
                do="Open both with the same size and channels.",
            )
        mine = self.with_()
        mine.preprocessing = other.preprocessing
        return mine

    def split(self, sizes: Sequence[float] = (0.64, 0.16, 0.2), *, seed: int) -> TaskFamily[LabelledTasks]:
        """Split the classes at random into train, validation and test; `sizes` are numbers of classes or fractions of them.

        With `within` whole groups are split, and `sizes` are of groups. Only `train` keeps transforms and augmentation.

        Raises:
            ArgumentError, TaskError: invalid sizes, see `random_split`; a part with fewer classes than `ways`.
            UnsupportedError: an augmentation has made classes of others: a class and what was made of it may come apart.
        """
        if self.made:
            raise UnsupportedError(
                "split",
                expected="the classes of the data",
                got=f"those that {', '.join(map(repr, self.made))} made of them too, which would be in other parts than they",
                do="Split first: give the source `split` and `augment`.",
            )
        groups = torch.arange(len(self.counts)) if self.within is None else self.within.of
        chosen = random_split(range(int(groups.max()) + 1), sizes, seed=seed)
        members = [[label for group in part for label in (groups == group).nonzero().flatten().tolist()] for part in chosen]
        train, validation, test = (self.only(part) for part in members)
        for part in (validation, test):
            part.transform, part.augment = (), ()
        return TaskFamily(train, validation, test)

    def check_protocol(self) -> None:
        check_size("ways", self.ways, 1)
        check_size("shots", self.shots, 0)
        check_size("queries", self.queries, 1)
        check_enough(self.class_names, self.counts, self.ways, self.shots, self.queries)
        if self.within is not None:
            self.within.check(self.ways)
        elif self.layers is not None:
            self.layers.check(self.ways)
        if self.augment:
            fewest = self.ways if isinstance(self.ways, int) else self.ways[0]
            example = torch.zeros((1, 1, *self.x.shape[1:]), dtype=self.x.dtype, device=self.x.device)
            check_tasks(self.augment, self.shown(example), Labels(fewest))

    def __repr__(self) -> str:
        data = f"{len(self.counts)} classes, {len(self.y)} examples of shape {tuple(self.x.shape[1:])}"
        sizes = f"ways={self.ways}, shots={self.shots}, queries={self.queries}"
        return f"{type(self).__name__}({data}, {sizes}{self._said_within()}{said((*self.made, *self.augment))})"

    def _said_within(self) -> str:
        if self.within is None:
            return ""
        left_out = self.within.left_out(self.ways)
        few = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        return f", within={self.within.column!r}" + (f", {len(left_out)} groups too small: {few}" if left_out else "")

    def _group(self, name: str) -> None:
        """Draw the classes of an episode within one group of this column."""
        check_known(name, self.columns)
        self.within = Within.read(name, self.columns[name], self.index, self.class_names, self.layers)

    def _gathered(self, rows: Tensor, generator: torch.Generator) -> Examples:
        """The rows (tasks, ways, each) as examples in random order; the label of a row is its index along `ways`."""
        n, ways, each = rows.shape
        order = torch.rand(n, ways * each, generator=generator).argsort(1)
        rows = rows.flatten(1).gather(1, order)
        x = gathered(self.x, rows)
        if self.transform:
            images = as_float(x).flatten(0, 1)
            for transform in self.transform:
                images = transform(images, generator)
            x = images.unflatten(0, (n, ways * each))
        return Examples(self.shown(x), (order // each).to(self.x.device), ways=ways)

    def shown(self, x: Tensor) -> Any:
        """x as a learner sees it: as the preprocessing applies it, else floats."""
        return as_float(x) if self.preprocessing is None else self.preprocessing.apply(x)


def content_of(x: Tensor | LazyRows) -> Content:
    """The contents of x by the first kind of data that knows it; else by its numbers."""
    known = (kind.content(x) for kind in registry.kinds().values())
    found = next((one for one in known if one is not None), None)
    return of_numbers(x) if found is None else found
