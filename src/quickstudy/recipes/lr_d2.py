"""LR-D2: logistic regression as the head, learned through its Newton steps.

    w_k <- (Z' S Z + lambda I)^-1 Z' (S Z w_k + y_k - m),  a few times,      p(y = k | x) = softmax_k( alpha w_k' f_phi(x) )

Source: Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019, section 3.3.
Paper: CIFAR-FS 5-way 1-shot 65.3 +- 0.2 %, 5-shot 78.3 +- 0.2 % (5 steps); none on Omniglot.
"""

from __future__ import annotations

from torch import nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.calls import remembered
from quickstudy.forward.context import Normalisation
from quickstudy.learners.solve.logistic import Logistic


@remembered
@checked
def LRD2(
    embed: nn.Module,
    *,
    penalty: PositiveFloat = 1.0,
    newton_steps: PositiveInt = 5,
    scale: float = 5.0,
    normalisation: Normalisation = "running",
) -> Logistic:
    """`Logistic` with the paper's number of steps; `scale` starts at 5, for the same reason as R2D2's at 10."""
    return Logistic(embed, penalty=penalty, newton_steps=newton_steps, scale=scale, normalisation=normalisation)
