"""The arguments that recipes hand on to the learner they are made of, listed once.

    @hands_on(DescentOptions, Descent, rule=Adam())
    def Mine(network, *, inner_steps: int = 3, **options: Unpack[DescentOptions]) -> Descent:
        return Descent(network, inner_steps=inner_steps, name="Mine", **options)

`Mine` takes every argument in `DescentOptions`, with Descent's default or the one named here. `Descent` documents them; `help`,
the command line and `quickstudy explain` show them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, cast, get_type_hints

from quickstudy.forward.context import Normalisation
from quickstudy.learners.descend.annealing import Annealing
from quickstudy.learners.descend.rule import InnerRule
from quickstudy.learners.learner import Loss
from quickstudy.meta.outer.outer import Gradient

Recipe = TypeVar("Recipe", bound=Callable)


class StepOptions(TypedDict, total=False):
    """Of an inner step; see `Descent`."""

    loss: Loss | None
    normalisation: Normalisation
    rule: InnerRule
    clip: float | None


class InnerLoopOptions(StepOptions, total=False):
    """Of an inner loop, and of what is done with it; see `Descent`."""

    step_weights: Sequence[float] | None
    norms_per_step: bool
    annealing: Annealing | None
    outer: Gradient | None


class DescentOptions(InnerLoopOptions, total=False):
    """Of a descent, and of which parameters descend; see `Descent`."""

    adapts: str | Sequence[str]


class FineTuneOptions(TypedDict, total=False):
    """See `FineTune`."""

    inner_lr: float
    inner_steps: int
    adapts: str | Sequence[str]
    rule: InnerRule
    normalisation: Normalisation


class ProbeOptions(TypedDict, total=False):
    """See `Probe`."""

    strength: float
    newton_steps: int
    normalisation: Normalisation


class CosineProbeOptions(TypedDict, total=False):
    """See `CosineProbe`."""

    inner_lr: float
    inner_steps: int
    rule: InnerRule
    normalisation: Normalisation


def hands_on(options: type, learner: type, **defaults: Any) -> Callable[[Recipe], Recipe]:
    """Let a recipe's `**options` be seen as the arguments of `learner` that they are, and give some of them other defaults.

    Args:
        options: the TypedDict of the recipe's `**options`.
        learner: the class that they are handed on to.
        defaults: those of the recipe, where they differ from the learner's.
    """
    theirs, types = inspect.signature(learner).parameters, get_type_hints(options)

    def decorate(recipe: Recipe) -> Recipe:
        signature = inspect.signature(recipe)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        more = [
            theirs[name].replace(default=defaults.get(name, theirs[name].default), annotation=one) for name, one in types.items()
        ]
        signature = signature.replace(parameters=[*own, *more])

        @functools.wraps(recipe)
        def handing_on(*args: Any, **given: Any) -> Any:
            try:
                signature.bind(*args, **given)
            except TypeError as error:
                raise TypeError(f"{recipe.__name__}() {error}") from None
            return recipe(*args, **{**defaults, **given})

        handing_on.__signature__ = signature  # type: ignore[attr-defined]
        return cast("Recipe", handing_on)

    return decorate
