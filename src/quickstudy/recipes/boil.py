"""BOIL, "body only inner loop": MAML with the head frozen in the inner loop.

    theta = (body, head);   only body_{t+1} = body_t - a d/dbody L(theta_t, support);   both are meta-learned

The opposite of ANIL: the representation has to change in every task, not the classifier on top.

Source: Oh, Yoo, Kim & Yun, "BOIL: Towards Representation Change for Few-shot Learning", ICLR 2021, eq. 2.
Paper: miniImageNet 5-way 1-shot 49.61 +- 0.16, 5-shot 66.45 +- 0.37 % (Conv4, one inner step of rate 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeFloat, NonNegativeInt, checked
from quickstudy.calls import remembered
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.learners.descend.descent import Descent
from quickstudy.learners.descend.hypergradient import Hypergradient, Unrolled
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import InnerLoopOptions


@remembered
@checked
@hands_on(InnerLoopOptions, Descent)
def BOIL(
    network: nn.Module,
    *,
    inner_lr: NonNegativeFloat | LearnedRates = 0.5,
    inner_steps: NonNegativeInt = 1,
    hypergradient: Hypergradient = Unrolled(),
    head: str | Sequence[str] = "head.*",
    **options: Unpack[InnerLoopOptions],
) -> Descent:
    """MAML on all but the head: `Descent` that adapts every parameter whose name does not match `head`.

    Args:
        head: one or several globs over the names of the network's parameters.

    Other Args:
        options: other arguments of `Descent`.

    Raises:
        ArgumentError: `head` matches no parameter.
    """
    names = [name for name, parameter in plain("network", network).named_parameters() if parameter.requires_grad]
    patterns = [head] if isinstance(head, str) else list(head)
    body = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(body) == len(names):
        raise ArgumentError(
            "head",
            expected=f"a pattern that matches one of the trainable parameters {names}",
            got=repr(head),
            do="Name the head's parameters; with none left out it is MAML.",
        )
    return Descent(
        network,
        inner_lr=inner_lr,
        inner_steps=inner_steps,
        hypergradient=hypergradient,
        adapts=body,
        name="BOIL",
        **options,
    )
