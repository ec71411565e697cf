"""SplitClasses: one class becomes two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeInt, checked
from quickstudy.errors import TaskError
from quickstudy.tasks.construction.augmentation.kinds import ClassAugmentation, Made, named

FITTED = 1000  # examples of a class by which its direction is found


@checked
@dataclass(frozen=True)
class SplitClasses(ClassAugmentation):
    """Add two halves of each class as further classes, 'alpha/half1' and 'alpha/half2': finer classes than the data have.

    An episode has classes of the data or halves of them, never both: each kind is drawn in proportion to its number. Memory
    holds the data twice.

    Args:
        by: "clusters": at the median along the class's first principal direction, that of its first 1000 examples; "random": at
            random, two classes that differ by chance alone.
        seed: of "random".

    Raises:
        ArgumentError: another `by`.

    Examples:
        >>> x, y = torch.tensor([[0.0], [9.0], [1.0], [8.0]]), torch.zeros(4, dtype=torch.int64)
        >>> x, y, names = qs.tasks.SplitClasses().classes(x, y, ["alpha"])
        >>> names, sorted(x[y == 1].flatten().tolist())
        (['alpha', 'alpha/half1', 'alpha/half2'], [0.0, 1.0])
    """

    by: Literal["clusters", "random"] = "clusters"
    seed: NonNegativeInt = 0

    shares_examples = True

    def made(self, x: Tensor, y: Tensor, names: Sequence[str]) -> Made:
        """The halves of every class.

        Raises:
            TaskError: a class of one example.
        """
        generator = torch.Generator().manual_seed(self.seed)
        halves: list[Tensor] = []
        for label in range(len(names)):
            rows = (y == label).nonzero().flatten().cpu()
            order = torch.randperm(len(rows), generator=generator)
            if self.by == "clusters":
                order = along_principal_direction(x[rows.to(x.device)])
            halves += list(rows[order].tensor_split([len(rows) // 2]))
        made = self.counts({name: len(first) + len(second) for name, first, second in _pairs(names, halves)})
        labels = torch.arange(len(halves)).repeat_interleave(torch.tensor([len(half) for half in halves]))
        rows = torch.cat(halves)
        return Made(x[rows.to(x.device)], labels, list(made), rows)

    def counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        if alone := next((name for name, count in counts.items() if count < 2), None):
            raise TaskError(
                named(self),
                expected="two examples or more of every class, to split",
                got=f"{counts[alone]} of class {alone!r}",
                do="Leave SplitClasses out, or classes that have so few.",
            )
        sizes = {name: (count // 2, count - count // 2) for name, count in counts.items()}
        return {f"{name}/half{half + 1}": sizes[name][half] for name in counts for half in (0, 1)}


def along_principal_direction(x: Tensor) -> Tensor:
    """The order of examples (n, *feature) along the direction of their largest variance, whose largest entry is positive."""
    z = x.detach().cpu().double().flatten(1)
    z = z - z[:FITTED].mean(0)
    _, _, directions = torch.linalg.svd(z[:FITTED], full_matrices=False)
    direction = directions[0]
    direction = direction * direction[direction.abs().argmax()].sign()
    return (z @ direction).argsort(stable=True)


def _pairs(names: Sequence[str], halves: Sequence[Tensor]) -> list[tuple[str, Tensor, Tensor]]:
    return list(zip(names, halves[::2], halves[1::2], strict=True))
