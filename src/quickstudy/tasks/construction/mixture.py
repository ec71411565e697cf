"""Mixture: one stream of tasks from several families, of whatever ways, shots, targets and shapes.

    family i  ~  p,     task  ~  p(tasks | family i)                  p: see `quickstudy.tasks.construction.weights`

Source: Triantafillou et al., "Meta-Dataset", ICLR 2020, whose mixture draws the data sets alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Self

import torch

from quickstudy.arguments import checked
from quickstudy.buckets import Buckets
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, TaskError, UnsupportedError
from quickstudy.tasks.construction.weights import ByProgress, Weights, probabilities
from quickstudy.tasks.distribution.content import Held
from quickstudy.tasks.distribution.family import SPLITS, TaskFamily
from quickstudy.tasks.distribution.generator import fresh_generator
from quickstudy.tasks.distribution.interface import TaskDistribution, check_count
from quickstudy.tasks.distribution.size import Size


class MixedTasks(TaskDistribution):
    """One part of a `Mixture`: its `sample` returns `Buckets`, a batch for each family that was drawn.

    Args:
        parts: the tasks of each family by its name.
        weights: see `Mixture`.

    Raises:
        ArgumentError: no families; weights of another number or of other names, below 0, or with the sum 0.

    Examples:
        >>> waves, classes = qs.tasks.Sinusoid().train, qs.tasks.GaussianClasses(ways=3, dim=4).train
        >>> tasks = qs.tasks.MixedTasks({"waves": waves, "classes": classes}, weights=(1, 3))
        >>> tasks.probabilities
        {'waves': 0.25, 'classes': 0.75}
        >>> tasks.sample(8, generator=torch.Generator().manual_seed(0))
        Buckets(waves=1, classes=7)
        >>> tasks["waves"].sample(1).family is None
        True
    """

    ways: Size | None = None
    shots: Size = 0
    queries: Size = 0

    def __init__(self, parts: Mapping[str, TaskDistribution], weights: Weights = None):
        if not parts:
            raise ArgumentError("families", expected="one family or more", got="none", do="Name some: {'a': tasks, 'b': others}.")
        self.parts, self.weights = dict(parts), weights
        self.probabilities = probabilities(self.parts, weights)

    def drawn_by(self, shares: Mapping[str, float]) -> Self:
        """The same tasks, each family drawn with this probability; for weights that change in a run."""
        other = copy(self)
        other.probabilities = dict(shares)
        return other

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Buckets:  # type: ignore[override]
        """n tasks, the number of each family drawn by its probability.

        Raises:
            ArgumentError: n below 1.
        """
        check_count(n)
        generator = generator or fresh_generator()
        p = torch.tensor(list(self.probabilities.values()), dtype=torch.float64)
        counts = torch.multinomial(p, n, replacement=True, generator=generator).bincount(minlength=len(p)).tolist()
        drawn = zip(self.parts.items(), counts, strict=True)
        return Buckets({name: part.sample(count, generator=generator) for (name, part), count in drawn if count})

    @property
    def class_names(self) -> list[str]:
        """The classes of all families, by which parts of a mixture are told to share none."""
        return list(dict.fromkeys(name for part in self.parts.values() for name in getattr(part, "class_names", [])))

    def contents(self, *, read: bool = False) -> list[Held]:
        """Those of all families."""
        return [one for part in self.parts.values() for one in part.contents(read=read)]

    def __getitem__(self, family: str) -> TaskDistribution:
        """The tasks of one family."""
        if family not in self.parts:
            raise ArgumentError("family", expected=f"one of {list(self.parts)}", got=repr(family), do="Name one of them.")
        return self.parts[family]

    def examples(self) -> Examples:
        raise UnsupportedError(
            "tasks",
            expected="tasks of one family, whose examples can be pooled",
            got=f"a mixture of {', '.join(self.parts)}",
            do="Pre-train on one of them: mixture.train['NAME'].",
        )

    def to(self, device: str | torch.device) -> Self:
        return self._changed({name: part.to(device) for name, part in self.parts.items()})

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> Self:
        """All families under another protocol; `ways` for those that have classes."""
        sizes: dict[str, Any] = {"shots": shots, "queries": queries}
        return self._changed(
            {name: part.with_(**sizes, ways=None if part.ways is None else ways) for name, part in self.parts.items()}
        )

    def check_protocol(self) -> None:
        for part in self.parts.values():
            part.check_protocol()

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol and the probability of each family; where it changes in a run, by which rule."""
        found = self.probabilities.items()
        if isinstance(self.weights, ByProgress):
            return {"families": {name: self.parts[name].protocol for name in self.parts}, "weights": repr(self.weights)}
        return {"families": {name: {**self.parts[name].protocol, "probability": p} for name, p in found}}

    def _changed(self, parts: Mapping[str, TaskDistribution]) -> Self:
        return type(self)(parts, self.weights)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}: {p:.3g}" for name, p in self.probabilities.items())
        return f"{type(self).__name__}({shown})"


class Mixture(TaskFamily[MixedTasks]):
    """Tasks of several families, drawn family by family: cross-problem and cross-domain meta-training.

    A learner of one structure serves families whose tasks all fit it. Where they differ (pictures and numbers, 5 classes and 20),
    `ByFamily` has a part for each and shares the rest. `evaluate` scores each family by itself.

    Args:
        families: task families by name.
        weights: how often each is drawn in meta-training: one number each, in order or by name; `BySize(temperature=)`;
            `ByProgress()`, learned in the run; None: all alike. Validation and test take all alike.
        same_classes: whether a class may be in one part of one family and in another part of another, as for the same classes in
            other domains.
        same_content: whether an example may be in one part of one family and in another part of another: see `TaskFamily`.

    Raises:
        ArgumentError: no families; weights of another number or of other names, below 0, or with the sum 0.
        TaskError: a class of the same name, or an example by its content, in meta-training of one family and in another part of
            another, without same_classes or same_content; a family without a part that another has.

    Examples:
        >>> tasks = qs.tasks.Mixture({"waves": qs.tasks.Sinusoid(), "classes": qs.tasks.GaussianClasses(ways=3, dim=4)})
        >>> tasks.train.sample(6, generator=torch.Generator().manual_seed(0))
        Buckets(waves=1, classes=5)
        >>> tasks.test["waves"].protocol
        {'ways': None, 'shots': 10, 'queries': 10}
    """

    @checked
    def __init__(
        self,
        families: Mapping[str, TaskFamily[Any]],
        weights: Weights = None,
        *,
        same_classes: bool = False,
        same_content: bool = False,
    ):
        parts: list[MixedTasks | None] = []
        for split in SPLITS:
            held = {name: family.parts[split] for name, family in families.items() if split in family.parts}
            whole = len(held) == len(families)
            if held and not whole:
                absent = next(name for name in families if name not in held)
                raise TaskError(
                    "families",
                    expected=f"families that all have a part for {split}",
                    got=f"{absent!r} without one",
                    do="Give each the same parts; a source made with part='test' has one alone.",
                )
            parts.append(MixedTasks(held, weights if split == "train" else None) if held or split == "train" else None)
        every = families.values()
        super().__init__(
            *parts,
            same_classes=same_classes or any(family.same_classes for family in every),
            same_content=same_content or any(family.same_content for family in every),
        )


class OfFamily(TaskDistribution):
    """The tasks of one family, whose episodes say which that is."""

    def __init__(self, tasks: TaskDistribution, family: str):
        self.tasks, self.family = tasks, family
        self.ways, self.shots, self.queries = tasks.ways, tasks.shots, tasks.queries

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Episode:
        return self.tasks.sample(n, generator=generator).of(self.family)

    def examples(self) -> Examples:
        return self.tasks.examples().of(self.family)

    def to(self, device: str | torch.device) -> Self:
        return type(self)(self.tasks.to(device), self.family)

    def with_(self, *, ways: Size | None = None, shots: Size | None = None, queries: Size | None = None) -> Self:
        return type(self)(self.tasks.with_(ways=ways, shots=shots, queries=queries), self.family)

    def check_protocol(self) -> None:
        self.tasks.check_protocol()

    @property
    def protocol(self) -> dict[str, Any]:
        return self.tasks.protocol
