"""What the learners of this folder share: initial weights from a generator, and checks of sizes, shapes and classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from quickstudy import randomness
from quickstudy.arguments import PositiveInt
from quickstudy.errors import LabelError, ShapeError
from quickstudy.learners.learner import Learner

Module = TypeVar("Module", bound=nn.Module)


def seeded(build: Callable[[], Module], generator: torch.Generator) -> Module:
    """`build()`, its initial weights drawn from `generator`; torch's global state is unchanged."""
    with randomness.seeded(int(torch.randint(2**31, (), generator=generator))):
        return build()


def own_generator(learner: Learner, generator: torch.Generator | None) -> torch.Generator:
    """The generator, or one of seed 0. It is not saved with the arguments, since the weights are saved."""
    learner.arguments = {name: value for name, value in learner.arguments.items() if name != "generator"}
    return generator or torch.Generator().manual_seed(0)


def check_features(z: Tensor, features: PositiveInt) -> Tensor:
    """z itself, or ShapeError if it is not (examples, features)."""
    if z.ndim != 2 or z.shape[1] != features:
        raise ShapeError(
            "features",
            expected=f"an embedding of shape (examples, {features})",
            got=str(tuple(z.shape)),
            do="Give features= the number that the embedding has.",
        )
    return z


def check_max_ways(ways: int, max_ways: PositiveInt) -> None:
    """Raise LabelError for a task with more than `max_ways` classes."""
    if ways > max_ways:
        raise LabelError(
            "support.y",
            expected=f"at most max_ways={max_ways} classes",
            got=str(ways),
            do="Build and meta-train it with a larger max_ways.",
        )
