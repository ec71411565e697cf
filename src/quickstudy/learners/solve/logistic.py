"""Logistic regression on a learned embedding: a fixed number of Newton steps, differentiated through."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quickstudy.errors import ArgumentError
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import one_hot
from quickstudy.learners.outcome import Values
from quickstudy.learners.solve.newton import newton_logistic


class Logistic(Comparison):
    """Separate each class from the others by logistic regression in a learned space, and predict with those regressions.

        Z    =  f_phi(x_1), ..., f_phi(x_n)  as rows,     y_k  =  1 for the examples of class k, else 0              (1)
        w_k  =  T Newton steps from 0 on   - sum_i log p(y_ik | w_k' z_i)  +  lambda/2 ||w_k||^2                     (2)
        p(y = k | x)  =  softmax_k( alpha w_k' f_phi(x) )                                                            (3)

    One against the rest, as in the paper; the gradient flows through the T steps, each a weighted ridge regression
    (`newton_logistic`). phi is f, lambda = exp(log_penalty) > 0 and alpha (`scale`).

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features).
        penalty: initial lambda, above 0.
        newton_steps: T, 1 or more.

    Other Args:
        scale: initial alpha.
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a penalty that is not above 0; fewer than 1 Newton step.

    Source: Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019, section
    3.3 (LR-D2). Differs from it: alpha, since n separate regressions, each shrunk by lambda, are no logits of one softmax.

    Examples:
        >>> from quickstudy.learners.solve import Logistic
        >>> learner = Logistic(torch.nn.Identity(), newton_steps=5)
        >>> learner.adapt(qs.Examples(torch.eye(3), torch.arange(3))).predict(torch.eye(3))
        tensor([0, 1, 2])
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        penalty: float = 1.0,
        newton_steps: int = 5,
        scale: float = 1.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        if not penalty > 0:
            raise ArgumentError(
                "penalty",
                expected="a number above 0",
                got=str(penalty),
                do="Separable classes have no finite optimum without it; 1 is the default.",
            )
        if newton_steps < 1:
            raise ArgumentError("newton_steps", expected="1 or more", got=str(newton_steps), do="The paper takes 1 or 5.")
        self.newton_steps = newton_steps
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """Weights (features, ways), which include alpha."""
        target = one_hot(y, ways, z)  # (1)
        return {"weights": self.scale * newton_logistic(z, target, self.log_penalty.exp(), self.newton_steps)}  # (2)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return z @ state["weights"]  # (3)
