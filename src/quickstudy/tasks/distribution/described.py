"""Zero-shot episodes: the support holds one description of each class and no examples (K = 0)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, ShapeError
from quickstudy.targets.known_classes import KnownClasses
from quickstudy.tasks.distribution.interface import Preprocessing
from quickstudy.tasks.distribution.labelled import LabelledTasks
from quickstudy.tasks.distribution.rows import gathered
from quickstudy.tasks.distribution.size import Size


@checked
class DescribedTasks(LabelledTasks):
    """Zero-shot episodes over labelled data with a description of each class.

        support   x = {"description": v (tasks, ways, *description)},   labels 0..ways-1
        query     x (tasks, ways * queries, *feature),                  labels in shuffled order

    `split` gives a family whose parts share no class.

    Args:
        x, y: (N, *feature) and global labels 0..C-1 (N,), as for `LabelledTasks`.
        descriptions: v (C, *description), floating-point; row c describes class c.
        ways, queries: classes of an episode, query examples of each.
        class_names, preprocessing, columns, within: as for `LabelledTasks`.

    Raises:
        ShapeError: a number of descriptions other than the number of classes.
        NotFiniteError: NaN or infinity in them.
        ArgumentError: shots other than 0.
        LabelError, TaskError: see `LabelledTasks`.

    Examples:
        >>> x, y, descriptions = torch.randn(60, 8), torch.arange(60) // 10, torch.randn(6, 5)
        >>> tasks = qs.tasks.DescribedTasks(x, y, descriptions, ways=3, queries=2)
        >>> episodes = tasks.sample(4)
        >>> episodes.support.x["description"].shape, episodes.query.x.shape
        (torch.Size([4, 3, 5]), torch.Size([4, 6, 8]))
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        descriptions: Tensor,
        *,
        ways: Size = 5,
        queries: Size = 15,
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        columns: Mapping[str, Any] | None = None,
        within: str | None = None,
    ):
        super().__init__(
            x,
            y,
            ways=ways,
            shots=0,
            queries=queries,
            class_names=class_names,
            preprocessing=preprocessing,
            columns=columns,
            within=within,
        )
        if len(descriptions) != len(self.counts):
            raise ShapeError(
                "descriptions",
                expected=f"({len(self.counts)}, *description), one for each class",
                got=str(tuple(descriptions.shape)),
                do="Put that of class c into row c.",
            )
        if not bool(torch.isfinite(descriptions).all()):
            raise NotFiniteError("descriptions", expected="finite numbers", got="NaN or infinity", do="Fill what is missing.")
        self.descriptions = descriptions.to(x.device)

    def _drawn(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> Episode:
        classes = self._classes(n, ways, generator)
        rows = self.index.choose_rows(classes, queries, generator)
        y = torch.arange(ways, device=self.y.device).repeat(n, 1)
        support = Examples({"description": gathered(self.descriptions, classes)}, y, ways=ways)
        return Episode(support, self._gathered(rows, generator), classes=KnownClasses(classes, self.class_names))

    def only(self, classes: Iterable[int]) -> DescribedTasks:
        """Only these classes, given by their global labels, with their descriptions."""
        labels = list(classes)
        part = super().only(labels)
        return DescribedTasks(
            part.x,
            part.y,
            self.descriptions[labels],
            ways=self.ways,
            queries=self.queries,
            class_names=part.class_names,
            preprocessing=self.preprocessing,
            columns=part.columns,
            within=None if part.within is None else part.within.column,
        )

    def to(self, device: str | torch.device) -> Self:
        other = super().to(device)
        other.descriptions = self.descriptions.to(device)
        return other

    def check_protocol(self) -> None:
        super().check_protocol()
        if self.shots != 0:
            raise ArgumentError(
                "shots",
                expected="0: the support of a described class is its description",
                got=str(self.shots),
                do="Use LabelledTasks for episodes with examples in their support.",
            )
