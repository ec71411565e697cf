"""LEOPARD: MAML across tasks of any number of classes, whose head a network makes of the support.

    (w_k, b_k) = mean over class k of g(f(x)),    theta_0 = (upper layers of f, h, w, b),    theta <- theta - a_t d/dtheta L
    phi, g, a  <-  outer loop on the queries;     the lower layers of f do not adapt

It learns problems of any number of classes together (a `tasks.Mixture`), and begins a new one where its support says.

Source: Bansal, Jha & McCallum, "Learning to Few-Shot Learn Across Diverse Natural Language Classification Tasks", COLING 2020,
section 3: 7 inner steps, first order, a learned rate for each layer.
Departure: rates are for each step too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from torch import nn

from quickstudy.arguments import NonNegativeInt, PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.learners.descend.generated_head import GeneratedHead
from quickstudy.learners.descend.hypergradient import FirstOrder, Hypergradient
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.options import hands_on
from quickstudy.recipes.options import StepOptions


@remembered
@checked
@hands_on(StepOptions, GeneratedHead)
def LEOPARD(
    embed: nn.Module,
    *,
    features: PositiveInt,
    width: PositiveInt = 64,
    adapts: str | Sequence[str] = "*",
    inner_lr: float = 0.01,
    inner_steps: NonNegativeInt = 7,
    hypergradient: Hypergradient = FirstOrder(),
    seed: int = 0,
    **options: Unpack[StepOptions],
) -> GeneratedHead:
    """`GeneratedHead` with the paper's inner loop: 7 steps, learned rates that start from `inner_lr`, in first order.

    Examples:
        >>> from quickstudy.recipes.further.leopard import LEOPARD
        >>> LEOPARD(qs.models.mlp(4, 8), features=8, adapts="head.*").inner_steps
        7
    """
    return GeneratedHead(
        embed,
        features=features,
        width=width,
        adapts=adapts,
        inner_lr=LearnedRates(inner_lr, per="tensor", per_step=True),
        inner_steps=inner_steps,
        hypergradient=hypergradient,
        seed=seed,
        name="LEOPARD",
        **options,
    )
