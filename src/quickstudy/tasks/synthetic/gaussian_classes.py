"""Gaussian classes: few-shot classification whose best possible accuracy is known.

    x | class k  ~  N(mu_k, I),     mu_k = separation * q_k,     q_1..q_ways orthonormal, drawn for each task

If the means are known, the best prediction is the nearest one: the largest q_k' x, as all means have the same length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quickstudy.arguments import NonNegativeFloat, PositiveInt, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size, largest
from quickstudy.tasks.synthetic.generated import SPLITS, GeneratedTasks, Truth

REACH, POINTS = 12.0, 4001  # the integral runs over [-REACH, REACH]; outside is less than 1e-32 of the density


class GaussianTasks(GeneratedTasks):
    """One split of `GaussianClasses`. Truth: means (tasks, ways, dim)."""

    def __init__(
        self,
        ways: Size = 5,
        dim: PositiveInt = 16,
        *,
        separation: NonNegativeFloat = 3.0,
        shots: Size = 1,
        queries: Size = 15,
        split: str = "train",
    ):
        self.dim, self.separation = dim, separation
        super().__init__(split, ways=ways, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        means = self.separation * orthonormal(n, ways, self.dim, generator=generator)

        def examples(each: int) -> Examples:
            y = torch.rand(n, ways * each, generator=generator).argsort(1) % ways  # `each` of every class, in random order
            noise = torch.randn(n, ways * each, self.dim, generator=generator)
            return Examples(means.gather(1, y[..., None].expand_as(noise)) + noise, y, ways=ways)

        return Episode(examples(shots), examples(queries)), {"means": means}

    def check_protocol(self) -> None:
        super().check_protocol()
        if self.ways is not None and largest(self.ways) > self.dim:
            raise ArgumentError(
                f"ways={self.ways}",
                expected=f"at most dim={self.dim}, for there are no more orthonormal means",
                got=str(largest(self.ways)),
                do="Lower `ways`, or raise `dim`.",
            )


@checked
class GaussianClasses(TaskFamily[GaussianTasks]):
    """Gaussian classes as few-shot tasks: x (tasks, examples, dim), float32. See the module for the equation.

    Each task has means of its own, so its classes come in no other task and have no names; scores by class are refused.

    Args:
        ways, shots, queries: the protocol of an episode.
        dim: dimension of x.
        separation: length of each mean, in standard deviations of the noise; two means are sqrt(2) times that apart.

    Raises:
        ArgumentError: more ways than dim; ways or queries below 1, shots below 0, or one that is neither an int nor a (low, high)
            range.

    Examples:
        >>> tasks = qs.tasks.GaussianClasses(ways=5, dim=8, shots=1, queries=3)
        >>> episodes = tasks.train.sample(4)
        >>> episodes.support.x.shape, episodes.query.x.shape
        (torch.Size([4, 5, 8]), torch.Size([4, 15, 8]))
        >>> round(bayes_accuracy(ways=5, separation=3.0), 3)
        0.945
    """

    def __init__(
        self, ways: Size = 5, dim: PositiveInt = 16, *, separation: NonNegativeFloat = 3.0, shots: Size = 1, queries: Size = 15
    ):
        train, validation, test = (
            GaussianTasks(ways, dim, separation=separation, shots=shots, queries=queries, split=split) for split in SPLITS
        )
        super().__init__(train, validation, test)


@checked
def bayes_accuracy(ways: int, separation: NonNegativeFloat) -> float:
    """The accuracy if the means are known: no learner does better on average.

    Let x be of class 1. Its coordinates z_k = q_k' x are independent, z_1 ~ N(separation, 1) and the others ~ N(0, 1), since
    orthonormal directions of unit noise are independent. The answer is right where z_1 is the largest. Given that
    z_1 = z + separation, each of the ways - 1 others stays below it with probability Phi(z + separation), hence

        P  =  int phi(z) Phi(z + separation)^(ways - 1) dz,       phi, Phi: density and distribution function of N(0, 1)

    The trapezoid rule is exact to rounding for a smooth function that vanishes at both ends. For two ways
    P = Phi(separation / sqrt 2).
    """
    z = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(density * torch.special.ndtr(z + separation) ** (ways - 1), z))


def orthonormal(n: int, vectors: int, dim: PositiveInt, *, generator: torch.Generator) -> Tensor:
    """n sets of orthonormal vectors of R^dim under a uniformly random rotation: (n, vectors, dim).

    The Q of a Gaussian matrix, with the signs that make the diagonal of R positive: without them it is not uniform.
    """
    q, r = torch.linalg.qr(torch.randn(n, dim, vectors, generator=generator))
    return (q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None]).mT
