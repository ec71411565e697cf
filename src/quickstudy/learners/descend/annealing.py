"""Annealing: what of a descent changes as meta-training goes on.

    L    =  sum_t w_t(s) Q(theta_t)          the query loss after every inner step t = 1..K, at meta-step s = 1, 2, ...       (1)
    w_t  =  max( (1 - r)/K,  0.03/K )  for t < K,     w_K  =  1 - sum_{t<K} w_t,     r = (s - 1) / multi_step,  w_0 = 0      (2)
    s > multi_step:  L = Q(theta_K)                                                                                          (3)
    s <= first_order:  the first-order derivative,  afterwards the learner's own                                             (4)

Source: Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019, section 4 (eq. 4), and its code for (2).
Departure: r moves with every meta-step; the code moves it once in an epoch of 500.
"""

from __future__ import annotations

from dataclasses import dataclass

from quickstudy.errors import ArgumentError


@dataclass(frozen=True)
class Annealing:
    """The schedule of MAML++, by the number of the meta-step: a resumed run goes on with the same numbers.

    Args:
        multi_step: meta-steps in which the loss after every inner step counts; 0: never.
        first_order: meta-steps in which the derivative is of first order; 0: never.

    Raises:
        ArgumentError: a negative number.
    """

    multi_step: int = 0
    first_order: int = 0

    def __post_init__(self) -> None:
        for name in ("multi_step", "first_order"):
            if getattr(self, name) < 0:
                raise ArgumentError(f"Annealing({name}=)", expected="0 or more", got=str(getattr(self, name)), do="0 is never.")

    def weights(self, step: int, K: int) -> list[float]:
        """w_0 .. w_K at a meta-step within `multi_step`."""
        r = (step - 1) / self.multi_step
        early = max((1 - r) / K, 0.03 / K)  # (2)
        return [0.0, *[early] * (K - 1), 1 - (K - 1) * early]
