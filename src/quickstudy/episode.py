"""Examples and Episode: the only data that tasks, learners and executors exchange.

A task is a support set, to learn from, and a query set, to be scored on. Both are `Examples`: x and y with a leading axis
`examples`. A batch of episodes is the same thing with one more leading axis, `tasks`. Both classes are pytrees, so vmap,
`torch.utils._pytree` and torch.compile look through them; the kind of y (`target`) is static metadata, never a tensor, because
`y.max()` and `unique` cannot be read inside vmap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from quickstudy.arrays import as_inputs
from quickstudy.errors import ArgumentError, LabelError, NotFiniteError, ShapeError
from quickstudy.forward._torch import unreadable
from quickstudy.targets import Labels, Target, TokenLabels, Tokens, Transcripts, Values
from quickstudy.targets.encoded import encoded
from quickstudy.targets.known_classes import KnownClasses

SHOWN = 5  # names of classes in a line


class Examples:
    """Labelled examples of one task, or of a batch of tasks.

    Args:
        x: a tensor or a pytree of tensors, (examples, *feature), or (tasks, examples, *feature) for a batch. A mapping is passed
            to the network as keyword arguments. An array, a table or a list becomes a tensor of floats in torch's default dtype,
            bytes divided by 255; a tensor stays as it is, float64 and integers that index an embedding too.
        y: class labels 0..ways-1, integers (examples,), or (tasks, examples) for a batch; the names of classes as text
            (examples,); or targets (examples, *target). Names are numbered in sorted order, and `target` keeps them.
        ways: number of classes: short for target=Labels(ways).
        target: the kind of y: see `quickstudy.targets`. Without `ways` and `target`, integers mean labels, and every task
            must then use every number from 0 up; floating-point numbers mean values.
        family: which family of a `Mixture` the task is of; None: of no mixture. Static, as the target is.

    Attributes:
        target: the kind of y.
        family: the name of its family, or None.

    Raises:
        ShapeError: x and y differ in their number of examples.
        LabelError: y does not fit its kind: labels that are negative, too large, of another dtype or number of axes; labels that
            skip a number when neither `ways` nor `target` is given.
        LabelError: text in x; names that `target` does not have.
        ArgumentError: both `ways` and `target` are given.

    Examples:
        >>> qs.Examples(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]))
        Examples(x=(4, 2), y=(4,), Labels(count=2))
        >>> support = qs.Examples([[0.0], [0.1], [0.9]], ["low", "low", "high"])
        >>> support.y, support.target
        (tensor([1, 1, 0]), Labels(count=2, names=('high', 'low')))
        >>> qs.Examples([[0.7]], ["high"], target=support.target)
        Examples(x=(1, 1), y=(1,), Labels(count=2, names=('high', 'low')))
        >>> qs.Examples(torch.randn(4, 2), torch.randn(4, 1)).target
        Values(distribution=None)
    """

    __slots__ = ("x", "y", "target", "family")

    y: Tensor

    def __init__(self, x: Any, y: Any, ways: int | None = None, *, target: Target | None = None, family: str | None = None):
        if ways is not None and target is not None:
            raise ArgumentError("ways", expected="`ways` or `target`", got="both", do="Leave out `ways`: the target has it.")
        self.x, self.family = as_inputs(x), family
        y, told = encoded(y, target or (None if ways is None else Labels(ways)))
        self.y = y
        self._check_lengths()
        self.target = told or self._inferred()
        if isinstance(told, Labels) and y.ndim == 2 and not _is_batch(x, y):
            raise _no_labels(x, y)
        if told is not None and not unreadable(y):
            told.check("y", y)

    @property
    def ways(self) -> int | None:
        """The number of classes; None if y has none."""
        return self.target.ways

    def like(self, x: Any, y: Tensor, *, target: Target | None = None) -> Examples:
        """New examples of the same kind, or of `target`, unchecked: learners make them inside transforms, where no value can be
        read.
        """
        return _examples_from((x, y), (target or self.target, self.family))

    def of(self, family: str | None) -> Examples:
        """The same examples, as those of a family."""
        return _examples_from((self.x, self.y), (self.target, family))

    def _inferred(self) -> Target:
        if is_labels(self.y):
            return Labels(_count_ways(self.y) if self.y.ndim == 1 else _count_ways_of_tasks(self.x, self.y))
        Values().check("y", self.y)
        return Values()

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
        family = "" if self.family is None else f", family={self.family!r}"
        return f"Examples(x={shapes}, y={tuple(self.y.shape)}, {self.target}{family})"


class Episode:
    """One task, or a batch of tasks: learn from `support`, be scored on `query`.

    Args:
        support: the examples to learn from.
        query: the examples to be scored on, with the same features. If the two x differ in structure, as for classes learned
            from descriptions, their shapes are not compared.
        classes: which classes of the data these are, as a source of tasks knows. It is no tensor of the episode: `map` and
            slices of a batch keep it, and no executor hands it to a learner.

    Raises:
        ShapeError: support and query of one structure have different feature shapes, or they differ in their number of tasks.
        LabelError: the classes of support and query are named, and not alike.

    Examples:
        >>> support = qs.Examples(torch.randn(3, 4), torch.tensor([0, 1, 2]))
        >>> query = qs.Examples(torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2]))
        >>> episode = qs.Episode(support, query)
        >>> qs.Prototypical(qs.models.mlp(4, 8)).adapt(episode.support)(episode.query.x).shape
        torch.Size([6, 3])
    """

    __slots__ = ("support", "query", "classes")

    def __init__(self, support: Examples, query: Examples, *, classes: KnownClasses | None = None):
        self.support, self.query, self.classes = support, query, classes
        axes = _leading_axes(support, query)
        one_kind = pytree.tree_structure(support.x) == pytree.tree_structure(query.x)
        if one_kind and all(_features(support, leading) != _features(query, leading) for leading in axes):
            raise ShapeError(
                "Episode(support, query)",
                expected="support.x and query.x of the same feature shape",
                got=f"{_shapes(_features(support, axes[0]))} and {_shapes(_features(query, axes[0]))}",
                do="Bring both through the same preprocessing.",
            )
        if is_labels(support.y) and is_labels(query.y) and _tasks_of_labels(support) != _tasks_of_labels(query):
            raise ShapeError(
                "Episode(support, query)",
                expected="support and query of one task, or of the same tasks",
                got=f"labels of shape {tuple(support.y.shape)} and {tuple(query.y.shape)}",
                do="Give both (examples,), or both (tasks, examples) with one support and one query for every task.",
            )
        names, others = _names(support), _names(query)
        if names is not None and others is not None and names != others:
            raise LabelError(
                "Episode(support, query)",
                expected="the same names of classes in support and query",
                got=f"{', '.join(names[:5])} and {', '.join(others[:5])}",
                do="Read the query by the support's names: Examples(x, y, target=support.target).",
            )

    @property
    def class_names(self) -> Sequence[Any] | None:
        """The names of its classes in the order of their labels, for a batch those of every task; None where they have none."""
        return _names(self.support) if self.classes is None else self.classes.named

    def map(self, function: Callable[[Tensor], Tensor]) -> Episode:
        """The same episode with `function` applied to every tensor."""
        episode = pytree.tree_map(function, self)
        episode.classes = self.classes
        return episode

    def __getitem__(self, index: Any) -> Episode:
        """The task at `index` of a batch, or the tasks of a slice."""
        episode = pytree.tree_map(lambda leaf: leaf[index], self)
        episode.classes = None if self.classes is None else self.classes[index]
        return episode

    @property
    def family(self) -> str | None:
        """Which family of a `Mixture` it is of; None: of no mixture."""
        return self.support.family

    def of(self, family: str | None) -> Episode:
        """The same episode, as one of a family."""
        episode = _episode_from((self.support.of(family), self.query.of(family)), None)
        episode.classes = self.classes
        return episode

    def __len__(self) -> int:
        """The number of tasks of a batch."""
        return len(self.support)

    def __repr__(self) -> str:
        return f"Episode(support={self.support}, query={self.query}{_shown(self.classes)})"

    def _repr_html_(self) -> str:
        from quickstudy.report.notebook import of_episode

        return of_episode(self)


def is_labels(y: Tensor) -> bool:
    """Whether y holds class labels (int64) and not targets."""
    return y.dtype == torch.int64


def nothing(target: Target) -> Examples:
    """No examples, of this kind: what a learner that needs no support is given in place of one."""
    dtype = None if target.ways is None else torch.int64
    return _examples_from((torch.empty(0), torch.empty(0, dtype=dtype)), (target, None))


def stack(episodes: list[Episode]) -> Episode:
    """Stack episodes of one structure into a batch, with a leading axis `tasks`.

    Raises:
        ShapeError: there are no episodes, or they differ in ways, in the structure of x or in a shape.

    Examples:
        >>> from quickstudy.episode import stack
        >>> episodes = [qs.tasks.Sinusoid(shots=5).train.sample(1)[0] for _ in range(3)]
        >>> stack(episodes).support.x.shape
        torch.Size([3, 5, 1])
    """
    try:
        return pytree.tree_map(lambda *leaves: torch.stack(leaves), *episodes)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _unlike(episodes) or error from error


def check_finite(argument: str, examples: Examples) -> None:
    """Raise NotFiniteError if x or y holds NaN or infinity; missing entries of y are exempt."""
    missing = examples.target.missing(examples.y)
    y = examples.y if missing is None else examples.y.where(~missing, 0)
    for leaf in pytree.tree_leaves((examples.x, y)):
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf).all()):
            bad = int((~torch.isfinite(leaf)).sum())
            raise NotFiniteError(
                argument,
                expected="finite numbers",
                got=f"{bad} values that are NaN or infinite in a tensor of shape {tuple(leaf.shape)}",
                do="Remove or fill them before they reach the learner.",
            )


def absent_class(support: Examples, argument: str = "support") -> LabelError | None:
    """The error that names a class without a support example; None if every class has one."""
    if not isinstance(support.target, Labels):
        return None
    counts = torch.bincount(support.y.flatten(), minlength=support.target.count)
    absent = (counts == 0).nonzero().flatten().tolist()
    if not absent:
        return None
    return LabelError(
        argument,
        expected=f"an example of each of {support.target.count} classes",
        got=f"none of class {', '.join(map(str, absent[:5]))}",
        do="Give one, or number the classes that there are from 0.",
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
            do="Number the classes of the task from 0 without a gap (torch.unique(y, return_inverse=True)[1]), give "
            "them as text, which keeps their names, or pass `ways`.",
        )
    return len(present)


def _count_ways_of_tasks(x: Any, y: Tensor) -> int:
    """The number of classes of a batch, y (tasks, examples): every task has all of them."""
    if not _is_batch(x, y):
        raise _no_labels(x, y)
    if y.numel() == 0:
        return 0
    ways = int(y.max()) + 1
    right = ways <= y.shape[1] and int(y.min()) >= 0
    if right:
        right = bool(y.new_zeros(len(y), ways, dtype=torch.bool).scatter_(1, y, True).all())
    if right:
        return ways
    present = [torch.unique(labels).tolist() for labels in y]
    gaps = [t for t, one in enumerate(present) if one != list(range(len(one)))]
    most = max(map(len, present))
    t = gaps[0] if gaps else next(t for t, one in enumerate(present) if len(one) < most)
    raise LabelError(
        "y",
        expected=f"the labels 0..{most - 1} in every task of the batch, each at least once",
        got=f"the labels {present[t][:10]} in task {t}",
        do="Number the classes of each task from 0 without a gap, or pass `ways`.",
    )


def _is_batch(x: Any, y: Tensor) -> bool:
    """Whether y is (tasks, examples) and x (tasks, examples, *feature)."""
    return y.ndim == 2 and all(leaf.shape[:2] == y.shape for leaf in pytree.tree_leaves(x))


def _no_labels(x: Any, y: Tensor) -> LabelError:
    column = y.shape[1:] == (1,)
    other = "Say of other integers what they are: target=targets.TokenLabels(count), or give numbers as y.float()."
    return LabelError(
        "y",
        expected="labels, int64 (examples,), or of a batch of tasks (tasks, examples) where x is (tasks, examples, *feature)",
        got=f"{y.dtype} of shape {tuple(y.shape)} beside x of shape {_shapes([leaf.shape for leaf in pytree.tree_leaves(x)])}",
        do="Take the column, y[:, 0], or give numbers as y.float()." if column else other,
    )


def _unlike(episodes: list[Episode]) -> ShapeError | None:
    """The error for the first episode that differs from episode 0; None if all are alike."""
    if not episodes:
        return ShapeError("episodes", expected="at least one", got="none", do="Give a list of episodes, or a batch of them.")
    first = episodes[0]
    for index, episode in enumerate(episodes):
        for name, examples, other in (("support", first.support, episode.support), ("query", first.query, episode.query)):
            (got, structure), (want, of_first) = (
                pytree.tree_flatten([other.x, other.y]),
                pytree.tree_flatten([examples.x, examples.y]),
            )
            if examples.target != other.target:
                differ = f"{other.target} in the {name} of episode {index}, {examples.target} in that of episode 0"
            elif structure != of_first:
                differ = f"an x of another structure in the {name} of episode {index} than in that of episode 0"
            elif any(a.shape != b.shape for a, b in zip(got, want, strict=True)):
                shapes = [_shapes([leaf.shape for leaf in leaves]) for leaves in (got, want)]
                differ = f"x and y of shapes {shapes[0]} in the {name} of episode {index}, {shapes[1]} in that of episode 0"
            else:
                continue
            return ShapeError(
                "episodes",
                expected="episodes of one structure: the same kind of target, shots and features",
                got=differ,
                do="Batch those that are alike, or take them one by one.",
            )
    return None


def _leading_axes(support: Examples, query: Examples) -> list[int]:
    """The possible numbers of axes before the features: 1 (examples) or 2 (tasks, examples).

    Labels decide it. Targets have axes of their own, so 2 is possible as well if x and y agree in two axes, and support and query
    in the number of tasks.
    """
    if is_labels(support.y):
        return [len(_tasks_of_labels(support)) + 1]
    agree = all(leaf.shape[:2] == part.y.shape[:2] for part in (support, query) for leaf in pytree.tree_leaves(part.x))
    return [1, 2] if agree and min(support.y.ndim, query.y.ndim) > 1 and support.y.shape[0] == query.y.shape[0] else [1]


def _tasks_of_labels(examples: Examples) -> torch.Size:
    """The shape before the axis of examples, for y (*tasks, examples) or, of tokens, (*tasks, examples, length)."""
    return examples.y.shape[: -2 if isinstance(examples.target, TokenLabels | Tokens | Transcripts) else -1]


def _features(examples: Examples, leading: int) -> list[torch.Size]:
    return [leaf.shape[leading:] for leaf in pytree.tree_leaves(examples.x)]


def _shapes(shapes: list[torch.Size]) -> str:
    return str(tuple(shapes[0])) if len(shapes) == 1 else str([tuple(shape) for shape in shapes])


def _shown(classes: KnownClasses | None) -> str:
    if classes is None:
        return ""
    if classes.numbers.ndim > 1:
        return f", {classes.numbers.shape[-1]} of {len(classes.names)} classes"
    names = [repr(name) for name in classes[:SHOWN].named] + ["..."] * (len(classes.numbers) > SHOWN)
    return f", classes=({', '.join(names)})"


def _names(examples: Examples) -> tuple[str, ...] | None:
    return examples.target.names if isinstance(examples.target, Labels) else None


def _register(cls: type, flatten: Callable, unflatten: Callable) -> None:
    pytree.register_pytree_node(cls, flatten, unflatten, serialized_type_name=f"quickstudy.{cls.__name__}")


def _examples_from(leaves: Any, static: tuple[Target, str | None]) -> Examples:
    examples = object.__new__(Examples)  # no checks: leaves may be vmapped tensors, shapes, or None
    examples.x, examples.y = leaves
    examples.target, examples.family = static
    return examples


def _episode_from(leaves: Any, _: None) -> Episode:
    episode = object.__new__(Episode)
    episode.support, episode.query = leaves
    episode.classes = None
    return episode


_register(Examples, lambda examples: ([examples.x, examples.y], (examples.target, examples.family)), _examples_from)
_register(Episode, lambda episode: ([episode.support, episode.query], None), _episode_from)
