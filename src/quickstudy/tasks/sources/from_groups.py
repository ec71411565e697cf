"""from_groups: a table of rows as regression tasks, one for each group: a user, a patient, a machine."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, checked
from quickstudy.arrays import as_tensor
from quickstudy.calls import remembered
from quickstudy.errors import ShapeError, TaskError, UnsupportedError
from quickstudy.targets import Target, Values
from quickstudy.tasks.construction.augmentation.kinds import EpisodeAugmentation
from quickstudy.tasks.distribution.class_lists import FRACTIONS, Split, split_classes
from quickstudy.tasks.distribution.class_names import as_names, in_order
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.group_tasks import GroupTasks as GroupTasks
from quickstudy.tasks.distribution.group_tasks import check_horizon
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.distribution.splits import Splits, check_apart
from quickstudy.tasks.sources.labels import check_x
from quickstudy.tasks.sources.options import Part, check_part
from quickstudy.tasks.sources.proposal import proposal

FOR_NUMBERS = "FeatureNoise(std), PermuteChannels(), MixTasks(alpha) and MetaMix(alpha)"


@remembered
@checked
def from_groups(
    x: Any,
    y: Any,
    group: Any,
    *,
    time: Any = None,
    horizon: NonNegativeFloat | None = None,
    shots: Size = 5,
    queries: Size = 10,
    split: Split | None = None,
    part: Part = None,
    seed: int = 0,
    augment: Sequence[EpisodeAugmentation] = (),
    target: Target | None = None,
) -> TaskFamily[GroupTasks]:
    """Tasks from rows that belong to groups: learn from some rows of a group, predict others of it.

    Args:
        x: (N, *feature) or (N,), NumPy or tensor.
        y: (N, *target) or (N,), numbers; of another kind with `target`.
        group: (N,), the user, patient or machine of each row; labels of any kind.
        time: (N,) numbers, when each row was measured. Then a task's support is consecutive rows of a group, and its query later
            ones.
        horizon: needed with `time`, in its units: how far beyond its row's time a target reaches. 0 where y was measured with x;
            12 where time is in months and y is of the twelve that follow. A task's query begins `horizon` after its last
            support row: before that the support's targets are not known, and would hold what the query asks for.
        shots, queries: rows of a task, to learn from and to predict; numbers or ranges.
        split: of the groups, as `from_arrays` splits classes: no group is in two parts. None: (0.64, 0.16, 0.2). "time": these
            fractions, and the rows of each group are already in order of time; then `horizon` is in rows.
        part: "test": all groups are meta-test ones, to score a trained learner on; there is no meta-training part. None: split.
        seed: of a split by fractions.
        augment: task augmentation of meta-training: `FeatureNoise(std)`, `PermuteChannels()`, `MixTasks(alpha)`,
            `MetaMix(alpha)`.
        target: the kind of y: `targets.MultiLabel()`, with NaN for an unknown label, `targets.Binary()`,
            `targets.TokenLabels(count)`; None: values.

    Raises:
        ShapeError: x, y, group or time of different length.
        TaskError: a group with too few rows; fewer than three groups; a split naming an unknown group.
        ArgumentError: `time` without `horizon`, or `horizon` without an order of time.
        LabelError: text where numbers are expected; a row without a group.
        UnsupportedError: an augmentation of classes or of images.
        NotFiniteError: NaN or infinity in x, y or time.

    Examples:
        >>> x, y, patient = torch.randn(200, 3), torch.randn(200), torch.arange(200) // 20
        >>> tasks = qs.tasks.from_groups(x, y, patient, shots=5, queries=10)
        >>> tasks.train.sample(4).query.y.shape
        torch.Size([4, 10, 1])
    """
    in_time = time is not None or split == "time"
    check_horizon(horizon, in_time)
    check_part(part, split=None if split == "time" else split, augment=augment)
    for one in augment:
        if getattr(one, "needs_classes", False):
            raise UnsupportedError("augment", expected="what changes numbers", got=repr(one), do=f"{FOR_NUMBERS} do.")
    rows, target = _read(x, y, group, time, target)
    x, y, owner, moments = _in_time(rows) if in_time else rows
    parts: Splits = {part: in_order(owner)} if part is not None else _parts(owner, split, seed, shots, queries)

    def tasks(part: str) -> GroupTasks:
        place = {name: number for number, name in enumerate(parts[part])}
        chosen = torch.tensor([row for row, name in enumerate(owner) if name in place])
        groups = torch.tensor([place[owner[row]] for row in chosen.tolist()])
        changes = augment if part == "train" else ()
        return GroupTasks(
            x[chosen],
            y[chosen],
            groups,
            parts[part],
            shots=shots,
            queries=queries,
            time=None if moments is None else moments[chosen],
            horizon=horizon,
            augment=changes,
            target=target,
        )

    return TaskFamily(*(tasks(name) if name in parts else None for name in SPLITS))


def _parts(owner: Sequence[str], split: Split | None, seed: int, shots: Size, queries: Size) -> Splits:
    """The groups of each part."""
    counts = Counter(owner)
    names = in_order(owner)
    if len(names) < 3:
        raise TaskError(
            "group", expected="three groups or more", got=str(len(names)), do="Some train, some validate, some test: bring more."
        )
    do = proposal(list(counts.values()), (), None, shots, queries, command=False)
    parts = split_classes(names, FRACTIONS if split is None or split == "time" else split, seed, do=do)
    check_apart(parts)
    return parts


class _Rows(NamedTuple):
    """One of each for every row; `time` None where it was not given."""

    x: Tensor
    y: Tensor
    owner: list[str]
    time: Tensor | None


def _read(x: Any, y: Any, group: Any, time: Any, target: Target | None) -> tuple[_Rows, Target]:
    """The rows as tensors, checked, and their kind of target."""
    x, y, owner = as_tensor(x), as_tensor(y, "y"), as_names(group, "group")
    moments = None if time is None else as_tensor(time, "time", dtype=torch.float64)
    lengths = {"x": len(x), "y": len(y), "group": len(owner)} | ({} if moments is None else {"time": len(moments)})
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} of {length}" for name, length in lengths.items())
        raise ShapeError("x, y, group", expected="one of each for every row", got=got, do="Give one group for every row.")
    x = _column(x)
    if target is None or isinstance(target, Values):
        target, y = target or Values(), _column(y)
    target.check("y", y)
    missing = target.missing(y)
    for name, part in (("x", x), ("y", y if missing is None else y.where(~missing, 0)), ("time", moments)):
        if part is not None:
            check_x(part, name)
    return _Rows(x, y, owner, moments), target


def _in_time(rows: _Rows) -> _Rows:
    """The rows sorted by time; without times, each row's time is its place among the rows of its group."""
    if rows.time is None:
        counted = {name: itertools.count() for name in rows.owner}
        return rows._replace(time=torch.tensor([next(counted[name]) for name in rows.owner]))
    moments = rows.time.flatten()
    order = moments.argsort(stable=True)
    return _Rows(rows.x[order], rows.y[order], [rows.owner[row] for row in order.tolist()], moments[order])


def _column(part: Tensor) -> Tensor:
    """As floats; (N,) becomes (N, 1)."""
    part = part if part.is_floating_point() else part.to(torch.get_default_dtype())
    return part[:, None] if part.ndim == 1 else part
