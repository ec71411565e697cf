"""Linear regressions whose loss is an exact quadratic, so that every meta-gradient has a closed form.

    x = X (examples, dim),   y = X c (examples, 1)
    half_squares(X t, y)  =  1/2 ||X t - X c||^2  =  1/2 (t - c)' A (t - c),     A = X'X

The support has curvature A and minimum c, the query its own B and d. k steps of size a from phi end at c + (I - aA)^k (phi - c).
"""

from __future__ import annotations

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.synthetic.generated import SPLITS, GeneratedTasks, Truth


class QuadraticTasks(GeneratedTasks):
    """One split of `Quadratic`. Truth: A, B (tasks, dim, dim), c, d (tasks, dim)."""

    def __init__(
        self,
        dim: int = 4,
        *,
        shots: Size = 8,
        queries: Size = 8,
        shift: float = 0.5,
        dtype: torch.dtype = torch.float32,
        split: str = "train",
    ):
        if dim < 1:
            raise ArgumentError("dim", expected="1 or more", got=str(dim), do="Give for example dim=4.")
        self.dim, self.shift, self.dtype = dim, shift, dtype
        super().__init__(split, ways=None, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        def normal(*shape: int) -> Tensor:
            return torch.randn(n, *shape, generator=generator, dtype=self.dtype)

        X, Z = normal(shots, self.dim) / max(shots, 1) ** 0.5, normal(queries, self.dim) / queries**0.5
        c = normal(self.dim)
        d = c + self.shift * normal(self.dim)
        episode = Episode(Examples(X, X @ c[..., None]), Examples(Z, Z @ d[..., None]))
        return episode, {"A": X.mT @ X, "c": c, "B": Z.mT @ Z, "d": d}


@checked
class Quadratic(TaskFamily[QuadraticTasks]):
    """Quadratic tasks, for tests and for study: x (tasks, examples, dim), y (tasks, examples, 1).

    Args:
        dim: numbers to learn, the weights of a linear network without bias.
        shots, queries: rows of X and Z, drawn from N(0, 1/rows), so that the eigenvalues of A and B are around 1.
        shift: the query's minimum is d ~ N(c, shift^2) where c ~ N(0, 1); 0: both have the same minimum.
        dtype: float64 for exact answers.

    Raises:
        ArgumentError: dim below 1; queries below 1, shots below 0, or one that is neither an int nor a (low, high) range.

    Examples:
        >>> tasks = qs.tasks.Quadratic(dim=3, dtype=torch.float64)
        >>> episode, truth = tasks.train.sample_with_truth(2)
        >>> A, c = quadratic_of(episode.support)
        >>> torch.allclose(A, truth["A"]), torch.allclose(c, truth["c"])
        (True, True)
    """

    def __init__(
        self, dim: int = 4, *, shots: Size = 8, queries: Size = 8, shift: float = 0.5, dtype: torch.dtype = torch.float32
    ):
        train, validation, test = (
            QuadraticTasks(dim, shots=shots, queries=queries, shift=shift, dtype=dtype, split=split) for split in SPLITS
        )
        super().__init__(train, validation, test)


@checked
def half_squares(prediction: Tensor, y: Tensor) -> Tensor:
    """1/2 sum (prediction - y)^2: the loss under which these tasks are quadratics; a scalar."""
    return ((prediction - y) ** 2).sum() / 2


@checked
def quadratic_of(examples: Examples) -> tuple[Tensor, Tensor]:
    """(A, c) of one set of examples: half_squares(X t, y) = 1/2 (t - c)' A (t - c).

        A = X'X,    c = X^+ y

    c is the minimum of least norm, and the only one where X has `dim` independent rows. A batch gives a batch:
    A (*tasks, dim, dim), c (*tasks, dim).
    """
    X = examples.x
    return X.mT @ X, (torch.linalg.pinv(X) @ examples.y)[..., 0]
