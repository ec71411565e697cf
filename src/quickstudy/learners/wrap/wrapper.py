"""Wrapper: the base of learners that wrap another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickstudy.episode import Examples
from quickstudy.errors import NotFiniteError, UnsupportedError
from quickstudy.forward.call import Parameters
from quickstudy.forward.context import Normalisation
from quickstudy.learners.learner import Learner, Loss
from quickstudy.learners.outcome import State

if TYPE_CHECKING:
    from quickstudy.learners.descend.hypergradient import Hypergradient
    from quickstudy.meta.outer.outer import Outer
    from quickstudy.tasks.distribution.interface import TaskDistribution


class Wrapper(Learner):
    """A learner that wraps another; it passes on what the wrapped learner declares and takes.

    A subclass defines `state`, `answer` and `outcome`, which call those of the wrapped learner. If the wrapped learner adapts
    parameters, `inner_state` returns its state from that of the wrapper, so that `adapted` can name them.

    Args:
        learner: the wrapped learner, kept as `self.learner`.

    Examples:
        >>> from quickstudy.learners.wrap import Wrapper
        >>> class PassThrough(Wrapper):
        ...     def state(self, support, context, steps=None):
        ...         return self.learner.state(support, context, steps)
        ...     def answer(self, state, x, context):
        ...         return self.learner.answer(state, x, context)
        >>> PassThrough(qs.MAML(qs.models.mlp(4, 3), inner_steps=2)).inner_steps
        2
    """

    def __init__(self, learner: Learner):
        super().__init__(normalisation=learner.normalisation)
        self.learner = learner

    @property
    def normalisation(self) -> Normalisation:
        return self.wrapped.normalisation

    @normalisation.setter
    def normalisation(self, value: Normalisation) -> None:
        if "learner" in self._modules or "members" in self._modules:  # built: what is set here would change nothing
            raise UnsupportedError(
                "normalisation",
                expected=f"that of the wrapped learner, {self.normalisation!r}",
                got=f"{value!r} set on the {type(self).__name__}",
                do="Build the learner with it, and wrap that.",
            )

    @property
    def wrapped(self) -> Learner:
        """The wrapped learner."""
        return self.learner

    @property
    def innermost(self) -> Learner:
        """The learner within all wrappers."""
        return self.wrapped.innermost

    def inner_state(self, state: State) -> State | None:
        """The wrapped learner's state within that of the wrapper; None if there are several, or none."""
        return None

    def adapted(self, state: State) -> Parameters | None:
        inner = self.inner_state(state)
        found = None if inner is None else self.learner.adapted(inner)
        return None if found is None else {f"learner.{name}": value for name, value in found.items()}

    # ---- what it declares ----

    @property
    def adapts_parameters(self) -> bool:
        return self.wrapped.adapts_parameters and type(self).inner_state is not Wrapper.inner_state

    @property
    def label_equivariant(self) -> bool:  # type: ignore[override]
        return self.wrapped.label_equivariant

    @property
    def order_invariant(self) -> bool:  # type: ignore[override]
        return self.wrapped.order_invariant

    @property
    def exact_gradient(self) -> bool:  # type: ignore[override]
        return self.wrapped.exact_gradient

    @property
    def needs_support(self) -> bool:  # type: ignore[override]
        return self.wrapped.needs_support

    @property
    def query_like_support(self) -> bool:  # type: ignore[override]
        return self.wrapped.query_like_support

    @property
    def meta_learns(self) -> bool:  # type: ignore[override]
        return self.wrapped.meta_learns

    # ---- what it takes; an AttributeError if the wrapped learner has no such attribute ----

    @property
    def outer(self) -> Outer | None:
        """The across-task method of the wrapped learner."""
        return self.wrapped.outer  # type: ignore[return-value]

    @property
    def inner_steps(self) -> int:
        """The inner steps of the wrapped learner."""
        return self.wrapped.inner_steps  # type: ignore[return-value]

    @property
    def hypergradient(self) -> Hypergradient:
        """The hypergradient of the wrapped learner."""
        return self.wrapped.hypergradient  # type: ignore[return-value]

    @property
    def criterion(self) -> Loss | None:
        return self.wrapped.criterion

    def prepare(self, tasks: TaskDistribution) -> None:
        self.wrapped.prepare(tasks)

    def divergence(self, support: Examples) -> NotFiniteError:
        return self.wrapped.divergence(support)
