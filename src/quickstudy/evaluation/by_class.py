"""Accuracy of each class, and which class was taken for which, by name, over the tasks of an evaluation.

    accuracy of c          p_c  =  sum_t r_tc / sum_t q_tc        r_tc of the q_tc queries of class c in task t were right   (1)
    half of its interval   1.96 sqrt( n/(n-1) sum_t (r_tc - p_c q_tc)^2 ) / sum_t q_tc            the n tasks that have c    (2)
    c taken for d          sum_t m_tcd / sum_{t with d} q_tc      m_tcd queries of c answered d, of those in tasks with d    (3)

Queries of one task share its support, so (2) counts tasks; where they have equally many queries of c, it is 1.96 std / sqrt(n) of
the accuracies in them. Two classes can be confused only in a task that has both: (3) divides by the queries there. Pairs are
ordered by the lower end of Wilson's interval of (3), over tasks as well, so that a pair that met once does not lead by luck.

Only sums are kept: six numbers for each class and three for each pair of classes that met in a task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from quickstudy.episode import Episode
from quickstudy.evaluation.tally import Tally
from quickstudy.targets import Labels
from quickstudy.targets.known_classes import KnownClasses

Z = 1.96  # of a 95 % interval
KEPT = 1000  # confusions, the most frequent ones
MOST = 1 << 31  # classes: a pair of them is one number
LINES = 5  # of each kind, as text
AT_ONCE = 1 << 20  # pairs of classes that are counted together


@dataclass(frozen=True)
class ClassScore:
    """The accuracy (1) of one class, half of its 95 % interval (2) (NaN where one task has it), and of how much it is."""

    name: str
    accuracy: float
    ci95: float
    tasks: int
    queries: int

    def __str__(self) -> str:
        reach = "" if math.isnan(self.ci95) else f" +- {100 * self.ci95:.2f}"
        return f"{self.name} {100 * self.accuracy:.2f}{reach} % ({_tasks(self.tasks)})"


@dataclass(frozen=True)
class Confusion:
    """How many queries of one class were taken for another, of those in the tasks that have both."""

    name: str
    taken_for: str
    times: int
    chances: int
    tasks: int

    @property
    def share(self) -> float:
        """(3)."""
        return self.times / self.chances

    def __str__(self) -> str:
        of = f"{self.times} of {self.chances} ({_tasks(self.tasks)})"
        return f"{self.name} taken for {self.taken_for}: {100 * self.share:.1f} %, {of}"


@dataclass(frozen=True)
class ByClass:
    """The answers of an evaluation by class.

    Attributes:
        classes: every class that a task had, the worst first.
        confusions: of two classes each, the most frequent first; at most 1000.

    Examples:
        >>> x, y = torch.randn(60, 2), torch.arange(60) // 20
        >>> far = x + 99.0 * (y == 2)[:, None]  # the third class is apart from the others
        >>> tasks = qs.tasks.LabelledTasks(far, y, ways=2, shots=5, queries=10, class_names=["ant", "bee", "cat"])
        >>> found = qs.evaluate(qs.NearestCentroid(), tasks, episodes=30).by_class
        >>> print(found.classes[-1].name, found.classes[-1].accuracy)
        cat 1.0
        >>> sorted(one.name for one in found.confusions)
        ['ant', 'bee']
    """

    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        classes = [asdict(one) | ({"ci95": None} if math.isnan(one.ci95) else {}) for one in self.classes]
        return {"classes": classes, "confusions": [asdict(one) for one in self.confusions]}

    def __repr__(self) -> str:
        return f"ByClass({len(self.classes)} classes, the worst {self.classes[0]}; {len(self.confusions)} confusions)"

    def __str__(self) -> str:
        worst, pairs = self.classes[:LINES], self.confusions[:LINES]
        lines = [f"worst of {len(self.classes)} classes:", *(f"  {one}" for one in worst)]
        return "\n".join([*lines, "most frequent confusions:" if pairs else "no confusion", *(f"  {one}" for one in pairs)])


class ClassCounts:
    """The sums behind `ByClass`, of one batch of episodes after the other."""

    def __init__(self) -> None:
        self.classes, self.pairs = Tally(6), Tally(3)
        self.number: dict[str, int] = {}  # of each class met, whatever its source
        self._source: tuple[Sequence[str], Tensor] | None = None

    def add(self, batch: Episode, answer: Tensor, y: Tensor) -> None:
        """Count the answers to the queries of a batch, and their labels: both (tasks, queries) of 0..ways-1."""
        known = known_classes(batch)
        if known is None:
            return
        ways = known.numbers.shape[1]
        together = max(1, AT_ONCE // ways**2)
        for part in zip(*(one.split(together) for one in (self._numbers(known), answer.cpu(), y.cpu())), strict=True):
            self._add(*part)

    def _numbers(self, known: KnownClasses) -> Tensor:
        """Our numbers of the classes, (tasks, ways): tasks of several sources are counted together, by name."""
        if self._source is None or self._source[0] is not known.names:
            self._source = known.names, torch.tensor([self.number.setdefault(name, len(self.number)) for name in known.names])
        return self._source[1][known.numbers]

    def _add(self, numbers: Tensor, answer: Tensor, y: Tensor) -> None:
        """The same of some tasks: numbers (tasks, ways), answer and y (tasks, queries)."""
        tasks, ways = numbers.shape
        place = (torch.arange(tasks)[:, None] * ways + y) * ways + answer
        met = torch.bincount(place.flatten(), minlength=tasks * ways**2).view(tasks, ways, ways)  # m_tcd
        queries, right = met.sum(2), met.diagonal(dim1=1, dim2=2)
        some = queries > 0
        rows = torch.stack([torch.ones_like(queries), queries, right, queries**2, queries * right, right**2], 2)
        self.classes.add(numbers[some], rows[some])
        pairs = numbers[:, :, None] * MOST + numbers[:, None, :]
        rows = torch.stack([met, queries[:, :, None].expand_as(met), torch.ones_like(met)], 3)
        self.pairs.add(pairs[some].flatten(), rows[some].flatten(0, 1))

    def result(self) -> ByClass | None:
        """The scores and the confusions; None if nothing was counted."""
        numbers, sums = self.classes.sums()
        if not len(numbers):
            return None
        names = list(self.number)
        scores = [_score(names[number], *row) for number, row in zip(numbers.tolist(), sums.tolist(), strict=True)]
        keys, met = self.pairs.sums()
        wrong = (met[:, 0] > 0) & (keys // MOST != keys % MOST)
        keys, met = keys[wrong], met[wrong]
        order = wilson_low(met[:, 0] / met[:, 1], met[:, 2]).argsort(descending=True, stable=True)[:KEPT]
        pairs = zip(keys[order].tolist(), met[order].tolist(), strict=True)
        confusions = tuple(Confusion(names[key // MOST], names[key % MOST], *row) for key, row in pairs)
        return ByClass(tuple(sorted(scores, key=lambda one: one.accuracy)), confusions)


def known_classes(batch: Episode) -> KnownClasses | None:
    """The classes of a batch: those that its source knows, or the names of a target that is the same in all tasks."""
    if batch.classes is not None:
        return batch.classes
    target = batch.query.target
    if not isinstance(target, Labels) or target.names is None:
        return None
    return KnownClasses(torch.arange(target.count).expand(len(batch), -1), target.names)


def wilson_low(p: Tensor, n: Tensor) -> Tensor:
    """The lower end of Wilson's 95 % interval for a share p of n.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    z = Z**2 / n
    return (p + z / 2 - (p * (1 - p) * z + z**2 / 4).sqrt()) / (1 + z)


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _score(name: str, tasks: int, queries: int, right: int, squares: int, products: int, right_squares: int) -> ClassScore:
    p = right / queries  # (1)
    off = right_squares - 2 * p * products + p**2 * squares  # sum_t (r_tc - p_c q_tc)^2
    ci95 = math.nan if tasks < 2 else Z * math.sqrt(max(off, 0.0) * tasks / (tasks - 1)) / queries  # (2)
    return ClassScore(name, p, ci95, tasks, queries)
