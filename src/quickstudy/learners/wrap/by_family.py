"""ByFamily: one learner for problems of different shapes, with a part for each and the rest shared.

    F_phi(support)  =  F^f_phi(support),        f the family of the support

Parts are learners of their own; what two of them hold in common (the same module object) is one part of phi, which the tasks of
both families train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError, NotFiniteError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Context
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import Answered, Outcome, State
from quickstudy.tasks.construction.mixture import MixedTasks
from quickstudy.tasks.distribution.interface import TaskDistribution


class ByFamily(Learner):
    """A learner for each family of a mixture.

    The family of a task is `Examples.family`, which `Mixture` sets and `Examples(x, y, family="waves")` says by hand.

    Args:
        learners: by family. A module that several of them hold is shared.

    Raises:
        ArgumentError: no learners; learners with different normalisation; a name that a part of a module cannot have ("values");
            in meta-training, a mixture with a family that none of them is for.
        UnsupportedError: examples of no family, or of an unknown one.

    Examples:
        >>> from quickstudy.learners.wrap import ByFamily
        >>> body = qs.models.mlp(8, 8)
        >>> parts = {name: torch.nn.Sequential(torch.nn.Linear(size, 8), body) for name, size in (("small", 3), ("large", 5))}
        >>> learner = ByFamily({name: qs.Prototypical(part) for name, part in parts.items()})
        >>> families = {name: qs.tasks.GaussianClasses(ways=3, dim=size) for name, size in (("small", 3), ("large", 5))}
        >>> run = qs.meta_train(
        ...     learner, qs.tasks.Mixture(families), steps=3, tasks_per_step=4, validation_episodes=4, progress=False
        ... )
        >>> task = families["large"].test.sample(1)[0].of("large")
        >>> learner.adapt(task.support)(task.query.x).shape
        torch.Size([45, 3])
    """

    def __init__(self, learners: Mapping[str, Learner]):
        policies = {name: one.normalisation for name, one in learners.items()}
        if not learners:
            raise ArgumentError("learners", expected="one or more, by family", got="none", do="Name some: {'a': learner}.")
        if len(set(policies.values())) > 1:
            raise ArgumentError(
                "learners", expected="one normalisation", got=str(policies), do="Build all of them with the same normalisation=."
            )
        if taken := [name for name in learners if not name or "." in name or hasattr(nn.ModuleDict, name)]:
            raise ArgumentError(
                "learners",
                expected="names that a part of a module can have",
                got=f"{taken[0]!r}, which is " + ("a path" if "." in taken[0] else "one of torch's own" if taken[0] else "empty"),
                do=f"Call the family otherwise, here and in the mixture: {taken[0].replace('.', '_') + '_tasks'!r}.",
            )
        super().__init__(normalisation=next(iter(policies.values())))
        self.members = nn.ModuleDict(learners)

    def state(self, support: Examples, context: Context, steps: int | None = None) -> State:
        """That of the family's learner, under the family's name."""
        family = self._family(support)
        inner = self._of(family).state(support, context, steps)
        return State({family: inner.values}, inner.statistics, inner.counts)

    def answer(self, state: State, x: Any, context: Context) -> Answered:
        """By the learner of the family that the state is of."""
        family, inner = self._inner(state)
        return self._of(family).answer(inner, x, context)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """That of the family's learner."""
        return self._of(self._family(episode.support)).outcome(episode, context, criterion)

    def adapted(self, state: State) -> Parameters | None:
        family, inner = self._inner(state)
        found = self._of(family).adapted(inner)
        return None if found is None else {self._shared(f"members.{family}.{name}"): one for name, one in found.items()}

    # ---- what it has from its members ----

    @property
    def adapts_parameters(self) -> bool:
        return all(one.adapts_parameters for one in self._each)

    @property
    def label_equivariant(self) -> bool:  # type: ignore[override]
        return all(one.label_equivariant for one in self._each)

    @property
    def order_invariant(self) -> bool:  # type: ignore[override]
        return all(one.order_invariant for one in self._each)

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        return all(one.exact_gradient for one in self._each)

    @property
    def needs_support(self) -> bool:  # type: ignore[override]
        return any(one.needs_support for one in self._each)

    @property
    def query_like_support(self) -> bool:  # type: ignore[override]
        return all(one.query_like_support for one in self._each)

    @property
    def meta_learns(self) -> bool:  # type: ignore[override]
        return any(one.meta_learns for one in self._each)

    def prepare(self, tasks: TaskDistribution) -> None:
        if not isinstance(tasks, MixedTasks):
            raise UnsupportedError(
                "tasks",
                expected=f"a Mixture of {list(self.members)}, whose tasks say which family they are of",
                got=type(tasks).__name__,
                do="Give qs.tasks.Mixture({'name': tasks, ...}), or meta-train the learner of that family.",
            )
        if unknown := [name for name in tasks.parts if name not in self.members]:
            raise ArgumentError(
                "tasks",
                expected=f"a mixture of families that the learner has a part for: {list(self.members)}",
                got=f"the family {unknown[0]!r}",
                do="Name families and learners alike.",
            )
        for name, part in tasks.parts.items():
            self._of(name).prepare(part)

    def at(self, step: int) -> bool:
        changed = [one.at(step) for one in self._each]
        return any(changed)

    def divergence(self, support: Examples) -> NotFiniteError:
        return self._of(self._family(support)).divergence(support)

    # ---- its parts ----

    @property
    def _each(self) -> list[Learner]:
        return list(self.members.values())  # type: ignore[arg-type]

    def _of(self, family: str) -> Learner:
        return self.members[family]  # type: ignore[return-value]

    def _family(self, support: Examples) -> str:
        if support.family is None or support.family not in self.members:
            raise UnsupportedError(
                "support",
                expected=f"examples of one of the families {list(self.members)}",
                got="examples of none" if support.family is None else f"examples of {support.family!r}",
                do=f"Say which: Examples(x, y, family={next(iter(self.members))!r}).",
            )
        return support.family

    def _inner(self, state: State) -> tuple[str, State]:
        ((family, values),) = state.values.items()
        return family, State(values, state.statistics, state.counts)

    def _shared(self, name: str) -> str:
        """The name under which phi has a parameter that several members hold: that of the first."""
        parameter = self.get_parameter(name)
        return next(first for first, one in self.named_parameters() if one is parameter)
