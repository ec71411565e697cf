"""Logistic regression on a learned embedding: a fixed number of Newton steps, differentiated through."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.errors import ArgumentError
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.outcome import Values


class Logistic(Comparison):
    """Separate each class from the others by logistic regression in a learned space, and answer with those regressions.

        Z    =  f_phi(x_1), ..., f_phi(x_n)  as rows,     y_k  =  1 for the examples of class k, else 0              (1)
        w_k  =  T Newton steps from 0 on   - sum_i log p(y_ik | w_k' z_i)  +  lambda/2 ||w_k||^2                     (2)
        p(y = k | x)  =  softmax_k( alpha w_k' f_phi(x) )                                                            (3)

    One against the rest, as the paper has it; the derivative passes through the T steps, each a weighted ridge regression
    (`newton_logistic`). phi is f, lambda = exp(log_strength) > 0 and alpha (`scale`).

    Main arguments:
        embed: f_phi, (examples, *feature) -> (examples, features).
        strength: lambda as it begins, above 0.
        newton_steps: T.

    Other arguments:
        scale: alpha as it begins.
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a strength that is not above 0; fewer than 1 Newton step.

    Source: Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019, section
    3.3 (LR-D2). Differs from it: alpha, since n separate regressions, each shrunk by lambda, are no logits of one softmax.
    """

    def __init__(
        self,
        embed: nn.Module,
        *,
        strength: float = 1.0,
        newton_steps: int = 5,
        scale: float = 1.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        if not strength > 0:
            raise ArgumentError(
                "strength",
                expected="a number above 0",
                got=str(strength),
                do="Separable classes have no finite optimum without it; 1 is the default.",
            )
        if newton_steps < 1:
            raise ArgumentError("newton_steps", expected="1 or more", got=str(newton_steps), do="The paper takes 1 or 5.")
        self.newton_steps = newton_steps
        self.log_strength = nn.Parameter(torch.tensor(math.log(strength)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """Weights (features, ways), alpha in them."""
        target = F.one_hot(y, ways).to(z.dtype)  # (1)
        return {"weights": self.scale * newton_logistic(z, target, self.log_strength.exp(), self.newton_steps)}  # (2)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return z @ state["weights"]  # (3)


def newton_logistic(z: Tensor, y: Tensor, strength: Tensor | float, steps: int) -> Tensor:
    """`steps` Newton steps from w = 0 for each column of y (examples, ways), entries 0 or 1, on z (examples, features).

        eta = Z w,    m = 1 / (1 + exp(-eta)),    S = diag( m (1 - m) )                                           (4)
        w  <-  (Z' S Z + lambda I)^-1 Z' (S eta + y - m)  =  Z' (S Z Z' + lambda I)^-1 (S eta + y - m)            (5)

    of which the first inverts features x features and the second (Woodbury) examples x examples: the smaller one is taken.
    Iteratively reweighted least squares divides by S, which is 0 where a probability is 1; (5) is the same without.

    Returns:
        W (features, ways).
    """
    examples, features = z.shape
    dual = examples < features
    gram = z @ z.T if dual else z.T
    ridge = strength * torch.eye(min(examples, features), dtype=z.dtype, device=z.device)
    eta, w = torch.zeros_like(y), z.new_zeros(features, y.shape[1])
    for _ in range(steps):
        m = eta.sigmoid()  # (4)
        s = m * (1 - m)
        right = s * eta + y - m
        if dual:
            w = z.T @ _solve(s.T[:, :, None] * gram + ridge, right)  # (5), one system for each class
        else:
            w = _solve((gram * s.T[:, None, :]) @ z + ridge, z.T @ right)
        eta = z @ w
    return w


def _solve(systems: Tensor, right: Tensor) -> Tensor:
    """Column k of the answer solves system k (ways, n, n) for column k of `right` (n, ways)."""
    return torch.linalg.solve(systems, right.T[:, :, None])[:, :, 0].T
