"""R2D2: ridge regression as the head, learned through its closed form.

    W = Z' (Z Z' + lambda I)^-1 Y,      p(y = k | x) = softmax_k( alpha (W' f_phi(x))_k + beta )

f, lambda and the affine map (alpha, beta) of the regression's output are meta-learned. Meta-training and test may differ in ways
and shots: the paper trains with many ways.

Source: Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019, eq. 4-6.
Paper: Omniglot 5-way 1-shot 98.6 %, 5-shot 99.7 % (60-way training).
"""

from __future__ import annotations

from torch import nn

from quickstudy.arguments import PositiveFloat, checked
from quickstudy.calls import remembered
from quickstudy.forward.context import Normalisation
from quickstudy.learners.solve.ridge import Ridge


@remembered
@checked
def R2D2(
    embed: nn.Module,
    *,
    penalty: PositiveFloat = 1.0,
    scale: float = 10.0,
    shift: float = 0.0,
    normalisation: Normalisation = "running",
) -> Ridge:
    """`Ridge` on an embedding, for labels and without an intercept.

    `scale` starts at 10 and not at the paper's 1: regressions onto 0 and 1 give a flat softmax, which Adam would take thousands
    of steps to sharpen, since it moves a number by its rate and not by its size.
    """
    return Ridge(embed, penalty=penalty, scale=scale, shift=shift, normalisation=normalisation)
