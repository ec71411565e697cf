"""Annealing: the parts of a descent that change during meta-training.

    L    =  sum_t w_t(s) Q(theta_t)          the query loss after every inner step t = 1..K, at meta-step s = 1, 2, ...       (1)
    w_t  =  max( (1 - r)/K,  0.03/K )  for t < K,     w_K  =  1 - sum_{t<K} w_t,     r = (s - 1) / multi_step,  w_0 = 0      (2)
    s > multi_step:  L = Q(theta_K)                                                                                          (3)
    s <= first_order:  the first-order derivative,  afterwards the learner's own                                             (4)

Source: Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019, section 4 (eq. 4), and its code for (2).
Departure: r moves with every meta-step; the code moves it once in an epoch of 500.
"""

from __future__ import annotations

from dataclasses import dataclass

from quickstudy.arguments import NonNegativeInt, checked
from quickstudy.errors import ArgumentError


@checked
@dataclass(frozen=True)
class Annealing:
    """The schedule of MAML++. It depends on the number of the meta-step alone, so a resumed run continues it.

    Args:
        multi_step: number of initial meta-steps that use the loss after every inner step; 0: none.
        first_order: number of initial meta-steps that use the first-order derivative; 0: none.

    Raises:
        ArgumentError: a negative number.

    Examples:
        >>> from quickstudy.learners.descend import Annealing
        >>> schedule = Annealing(multi_step=100)
        >>> [round(w, 3) for w in schedule.weights(1, K=4)]  # of the losses after 0, 1, ..., 4 inner steps
        [0.0, 0.25, 0.25, 0.25, 0.25]
        >>> [round(w, 3) for w in schedule.weights(51, K=4)]
        [0.0, 0.125, 0.125, 0.125, 0.625]
    """

    multi_step: NonNegativeInt = 0
    first_order: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for name in ("multi_step", "first_order"):
            if getattr(self, name) < 0:
                raise ArgumentError(f"Annealing({name}=)", expected="0 or more", got=str(getattr(self, name)), do="0 is never.")

    def weights(self, step: int, K: int) -> list[float]:
        """w_0 .. w_K at a meta-step within `multi_step`."""
        r = (step - 1) / self.multi_step
        early = max((1 - r) / K, 0.03 / K)  # (2)
        return [0.0, *[early] * (K - 1), 1 - (K - 1) * early]
