"""Examples and Episode: the only data that tasks, learners and executors exchange.

A task is a support set, to learn from, and a query set, to be scored on. Both are `Examples`: x and y with a leading axis
`examples`. A batch of episodes is the same thing with one more leading axis, `tasks`. Both classes are pytrees, so vmap,
`torch.utils._pytree` and torch.compile look through them; `ways` is static metadata, never a tensor, because inside vmap
neither `y.max()` nor `unique` can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.errors import LabelError, NotFiniteError, ShapeError


class Examples:
    """Labelled examples of one task.

    Args:
        x: a tensor, or a pytree of tensors, (examples, *feature). A mapping whose keys are the network's argument names
            is spread over them.
        y: class labels 0..ways-1 as int64 (examples,), or targets (examples, *target).
        ways: number of classes. Read from integer labels when it is not given (then they must skip no number);
            None for targets.

    Raises:
        ShapeError: x and y differ in their number of examples.
        LabelError: integer labels that are negative, skip a number or reach `ways`.
    """

    __slots__ = ("x", "y", "ways")

    def __init__(self, x: Any, y: Tensor, ways: int | None = None):
        self.x, self.y, self.ways = x, y, ways
        self._check_lengths()
        if is_labels(y) and y.ndim == 1:
            self.ways = _count_ways(y) if ways is None else ways

    def _check_lengths(self) -> None:
        for leaf in pytree.tree_leaves(self.x):
            if leaf.shape[:1] != self.y.shape[:1]:
                raise ShapeError(
                    "Examples(x, y)",
                    expected="x and y with the same number of examples as their first axis",
                    got=f"x of shape {tuple(leaf.shape)} and y of shape {tuple(self.y.shape)}",
                    do="Give one y for every x.",
                )

    def map(self, function: Callable[[Tensor], Tensor]) -> Examples:
        """The same examples with `function` applied to every tensor."""
        return pytree.tree_map(function, self)

    def __len__(self) -> int:
        """Length of the leading axis: examples, or tasks in a batch."""
        return self.y.shape[0]

    def __repr__(self) -> str:
        shapes = pytree.tree_map(lambda leaf: tuple(leaf.shape), self.x)
        return f"Examples(x={shapes}, y={tuple(self.y.shape)}, ways={self.ways})"


class Episode:
    """One task, or a batch of tasks: learn from `support`, be scored on `query`.

    Both are of one kind, with the same features. Where they are not (classes that are learned from descriptions), one x is a
    mapping or another structure than the other, and their shapes are not compared.

    Raises:
        ShapeError: support and query of one structure have different feature shapes.
    """

    __slots__ = ("support", "query")

    def __init__(self, support: Examples, query: Examples):
        self.support, self.query = support, query
        axes = _leading_axes(support, query)
        one_kind = pytree.tree_structure(support.x) == pytree.tree_structure(query.x)
        if one_kind and all(_features(support, leading) != _features(query, leading) for leading in axes):
            raise ShapeError(
                "Episode(support, query)",
                expected="support.x and query.x of the same feature shape",
                got=f"{_shapes(_features(support, axes[0]))} and {_shapes(_features(query, axes[0]))}",
                do="Bring both through the same preprocessing.",
            )

    def map(self, function: Callable[[Tensor], Tensor]) -> Episode:
        """The same episode with `function` applied to every tensor."""
        return pytree.tree_map(function, self)

    def __getitem__(self, index: Any) -> Episode:
        """Of a batch: the task at `index`, or the tasks of a slice."""
        return self.map(lambda leaf: leaf[index])

    def __len__(self) -> int:
        """Of a batch: its number of tasks."""
        return len(self.support)

    def __repr__(self) -> str:
        return f"Episode(support={self.support}, query={self.query})"


def is_labels(y: Tensor) -> bool:
    """Whether y holds class labels (int64) and not targets."""
    return y.dtype == torch.int64


def stack(episodes: list[Episode]) -> Episode:
    """Episodes of one structure as a batch, with a leading axis `tasks`."""
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), *episodes)


def check_finite(argument: str, examples: Examples) -> None:
    """Raise NotFiniteError where x or y holds NaN or infinity."""
    for leaf in pytree.tree_leaves((examples.x, examples.y)):
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
            bad = int((~torch.isfinite(leaf)).sum())
            raise NotFiniteError(
                argument,
                expected="finite numbers",
                got=f"{bad} values that are NaN or infinite in a tensor of shape {tuple(leaf.shape)}",
                do="Remove or fill them before they reach the learner.",
            )


def _count_ways(y: Tensor) -> int:
    present = torch.unique(y).tolist()
    if not present:
        return 0
    if present != list(range(len(present))):
        raise LabelError(
            "y",
            expected=f"the labels 0..{len(present) - 1}, each at least once",
            got=f"the labels {present[:10]}",
            do="Number the classes of the task from 0 without a gap (torch.unique(y, return_inverse=True)[1]), or pass `ways`.",
        )
    return len(present)


def _leading_axes(support: Examples, query: Examples) -> list[int]:
    """How many axes may stand before the features: 1 (examples) or 2 (tasks, examples).

    Labels tell. Targets have axes of their own, so there it may be 2 as well, where x and y agree in two axes, and support and
    query in the number of tasks.
    """
    if is_labels(support.y):
        return [support.y.ndim]
    agree = all(leaf.shape[:2] == part.y.shape[:2] for part in (support, query) for leaf in pytree.tree_leaves(part.x))
    return [1, 2] if agree and min(support.y.ndim, query.y.ndim) > 1 and support.y.shape[0] == query.y.shape[0] else [1]


def _features(examples: Examples, leading: int) -> list[torch.Size]:
    return [leaf.shape[leading:] for leaf in pytree.tree_leaves(examples.x)]


def _shapes(shapes: list[torch.Size]) -> str:
    return str(tuple(shapes[0])) if len(shapes) == 1 else str([tuple(shape) for shape in shapes])


def _register(cls: type, flatten: Callable, unflatten: Callable) -> None:
    pytree.register_pytree_node(cls, flatten, unflatten, serialized_type_name=f"quickstudy.{cls.__name__}")


def _examples_from(leaves: Any, ways: int | None) -> Examples:
    examples = object.__new__(Examples)  # no checks: leaves may be vmapped tensors, shapes, or None
    examples.x, examples.y = leaves
    examples.ways = ways
    return examples


def _episode_from(leaves: Any, _: None) -> Episode:
    episode = object.__new__(Episode)
    episode.support, episode.query = leaves
    return episode


_register(Examples, lambda examples: ([examples.x, examples.y], examples.ways), _examples_from)
_register(Episode, lambda episode: ([episode.support, episode.query], None), _episode_from)
