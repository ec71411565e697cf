"""Alignment of two spaces by pairs: a linear map that is solved for, from the identity on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import ArgumentError, ShapeError, UnsupportedError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.learner import Learner
from quickstudy.learners.outcome import Values
from quickstudy.learners.solve.ridge import ridge
from quickstudy.targets import Pairs


class Alignment(Learner):
    """Map examples onto what they belong to, by a linear map that is fitted to the pairs of the support.

        Z     =  f_phi(x_1), ..., f_phi(x_n)  as rows,     Y  =  what they belong to                            (1)
        W, b  =  argmin  || Z + Z W + b - Y ||^2 + lambda ||W||^2                                               (2)
        y     =  f_phi(x) + W' f_phi(x) + b                                                                     (3)

    Of a few pairs W is small, and what is answered is f_phi(x), shifted by b: two encoders, or two languages in one encoder, are
    nearly aligned already. The gradient flows through the solution. phi is f and lambda = exp(log_penalty) > 0.

    Args:
        embed: f_phi, (examples, *feature) -> (examples, features of y); None: x itself.
        penalty: initial lambda, above 0.

    Other Args:
        normalisation: "running" by default, as for the learners that compare.

    Raises:
        ArgumentError: a penalty that is not above 0.

    Source: Mikolov, Le & Sutskever, "Exploiting similarities among languages for machine translation", 2013, eq. 3, whose map is
    fitted without penalty and not from the identity on.

    Examples:
        >>> from quickstudy.learners.solve import Alignment
        >>> z = torch.randn(20, 3)
        >>> support = qs.Examples(z[:10], z[:10].roll(1, 1) + 5, target=qs.targets.Pairs())
        >>> answer = Alignment(penalty=1e-4).adapt(support)(z[10:])
        >>> torch.allclose(answer, z[10:].roll(1, 1) + 5, atol=0.01)
        True
    """

    def __init__(self, embed: nn.Module | None = None, *, penalty: float = 1.0, normalisation: Normalisation = "running"):
        super().__init__(normalisation=normalisation)
        if not penalty > 0:
            raise ArgumentError("penalty", expected="a number above 0", got=str(penalty), do="1 is the default.")
        self.embed = nn.Identity() if embed is None else plain("embed", embed)
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))

    def learn(self, support: Examples) -> Values:
        """W (features, features) and b (features,).

        Raises:
            UnsupportedError: the support is not of `targets.Pairs`.
            ShapeError: f gives another number of features than y has.
        """
        if not isinstance(support.target, Pairs):
            do = "Give Examples(x, y, target=targets.Pairs()), or take tasks of pairs, such as tasks.from_pairs."
            raise UnsupportedError("support", expected="pairs", got=repr(support.target), do=do)
        z, y = apply(self.embed, support.x), support.y
        if z.shape != y.shape:
            do = f"Give `embed` {y.shape[-1]} outputs."
            raise ShapeError("embed", expected=f"outputs of shape {tuple(y.shape)}", got=str(tuple(z.shape)), do=do)
        weights, bias = ridge(z, y - z, self.log_penalty.exp(), intercept=True)  # (2)
        return {"weights": weights, "bias": bias}

    def predict(self, state: Values, x: Any) -> Tensor:
        """Points (examples, features) in the space of y."""
        z = apply(self.embed, x)
        return z + z @ state["weights"] + state["bias"]  # (3)
