"""MergeClasses: two classes become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeInt, checked
from quickstudy.errors import TaskError
from quickstudy.tasks.construction.augmentation.derived_names import PLUS
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, Made, named


@checked
@dataclass(frozen=True)
class MergeClasses(ClassAugmentation):
    """Pair the classes at random and add each pair as a further class, 'alpha + beta': broader classes than the data have.

    An episode has classes of the data or pairs of them, never both: each kind is drawn in proportion to its number. Of an odd
    number of classes one is in no pair. Memory holds the data twice.

    Args:
        seed: of the pairs.

    Examples:
        >>> x, y = torch.arange(8.0)[:, None], torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
        >>> x, y, names = qs.tasks.MergeClasses().classes(x, y, ["ant", "bee", "cat", "dog"])
        >>> names[4:], torch.bincount(y).tolist()
        (['ant + bee', 'cat + dog'], [2, 2, 2, 2, 4, 4])
    """

    seed: NonNegativeInt = 0

    shares_examples = True

    def made(self, x: Tensor, y: Tensor, names: Sequence[str]) -> Made:
        """The union of each pair of classes.

        Raises:
            TaskError: a single class.
        """
        label = {name: number for number, name in enumerate(names)}
        pairs = self._pairs(names)
        members = [((y == label[a]) | (y == label[b])).nonzero().flatten().cpu() for a, b in pairs]
        labels = torch.arange(len(pairs)).repeat_interleave(torch.tensor([len(rows) for rows in members]))
        rows = torch.cat(members)
        return Made(x[rows.to(x.device)], labels, [a + PLUS + b for a, b in pairs], rows)

    def counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {a + PLUS + b: counts[a] + counts[b] for a, b in self._pairs(list(counts))}

    def _pairs(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of different classes, each in the order of the data."""
        if len(names) < 2:
            raise TaskError(
                named(self),
                expected="two meta-training classes or more, to merge",
                got=f"{len(names)}: {', '.join(names)}",
                do="Leave MergeClasses out, or bring more classes.",
            )
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(self.seed)).tolist()
        pairs = (sorted(order[place : place + 2]) for place in range(0, len(order) - 1, 2))
        return [(names[a], names[b]) for a, b in pairs]
