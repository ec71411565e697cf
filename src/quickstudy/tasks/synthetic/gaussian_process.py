"""Functions drawn from Gaussian processes: the regression tasks of neural processes, with an exact answer to compare with.

    kernel ~ one of `kernels`,      length, period, scale, noise  ~  log-uniform in their ranges,      x ~ U[-2, 2]
    y  =  f(x) + noise e,           f ~ GP(0, scale^2 k),         e ~ N(0, 1)

    rbf        k(r)  =  exp( - r^2 / (2 length^2) )                                                          (1)
    matern     k(r)  =  (1 + s + s^2 / 3) exp(-s),        s = sqrt(5) |r| / length                           (2)
    periodic   k(r)  =  rbf( period / pi  sin(pi r / period) )                                               (3)

(3) is MacKay's kernel in the length of the circle's chord, so that `length` sets the local smoothness of all three.
Support and query are one draw of the process. Given the kernel and its hyperparameters, `posterior` is the best prediction.

Source: the protocol (kernels of random length and scale, x in [-2, 2], 3 to 50 points) of Kim et al., "Attentive Neural
Processes", ICLR 2019, section 4.1; kernels 2 and 3 in Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006,
eq. 4.17 and 4.31, the posterior in eq. 2.23-2.24.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from quickstudy.arguments import checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.tasks.distribution.family import TaskFamily
from quickstudy.tasks.distribution.size import Size
from quickstudy.tasks.synthetic.generated import SPLITS, GeneratedTasks, Truth
from quickstudy.tasks.synthetic.sinusoid import uniform

Range = tuple[float, float]


def rbf(r: Tensor, length: Tensor, period: Tensor) -> Tensor:
    """(1)"""
    return torch.exp(-0.5 * (r / length) ** 2)


def matern(r: Tensor, length: Tensor, period: Tensor) -> Tensor:
    """(2), of smoothness 5/2."""
    s = math.sqrt(5) * r.abs() / length
    return (1 + s + s * s / 3) * torch.exp(-s)


def periodic(r: Tensor, length: Tensor, period: Tensor) -> Tensor:
    """(3)"""
    return rbf(period / math.pi * torch.sin(math.pi * r / period), length, period)


KERNELS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"rbf": rbf, "matern": matern, "periodic": periodic}


class GaussianProcessTasks(GeneratedTasks):
    """One split of `GaussianProcess`; x and y are (tasks, examples, 1), float32.

    Truth, each (tasks,): kernel (its index in `KERNELS`), length, period, scale, noise.
    """

    def __init__(
        self,
        shots: Size = (3, 50),
        queries: Size = 50,
        *,
        kernels: Sequence[str] = tuple(KERNELS),
        length: Range = (0.2, 1.0),
        period: Range = (1.0, 3.0),
        scale: Range = (0.5, 1.5),
        noise: Range = (0.02, 0.2),
        split: str = "train",
    ):
        if not kernels or any(name not in KERNELS for name in kernels):
            raise ArgumentError("kernels", expected=f"one or more of {list(KERNELS)}", got=repr(kernels), do="('rbf',) is one.")
        self.kernels = tuple(kernels)
        self.ranges = {"length": length, "period": period, "scale": scale, "noise": noise}
        for name, (low, high) in self.ranges.items():
            if not 0 < low <= high:
                raise ArgumentError(
                    name, expected="a range (low, high), 0 < low <= high", got=repr((low, high)), do=f"Give {name}=(0.1, 0.5)."
                )
        super().__init__(split, ways=None, shots=shots, queries=queries)

    def draw(self, n: int, ways: int, shots: int, queries: int, generator: torch.Generator) -> tuple[Episode, Truth]:
        kinds = torch.tensor([list(KERNELS).index(name) for name in self.kernels])
        truth = {"kernel": kinds[torch.randint(len(kinds), (n,), generator=generator)]}
        for name, (low, high) in self.ranges.items():
            truth[name] = uniform(math.log(low), math.log(high), n, generator=generator).exp()
        x = uniform(-2.0, 2.0, n, shots + queries, 1, generator=generator)
        e = torch.randn(n, shots + queries, 1, generator=generator, dtype=torch.float64)
        y = (torch.linalg.cholesky(noisy(covariance(x, x, truth), truth)) @ e).float()
        parts = (Examples(x[:, part], y[:, part]) for part in (slice(shots), slice(shots, None)))
        return Episode(*parts), truth


@checked
class GaussianProcess(TaskFamily[GaussianProcessTasks]):
    """Regression on functions drawn from Gaussian processes.

    The three splits are one continuum (see quickstudy.tasks.synthetic.generated): no seed gives a test task that was trained on.

    Args:
        shots: points to learn from, or a range (low, high) from which their number is drawn for each batch.
        queries: points to be scored on, likewise.
        kernels: any of "rbf", "matern", "periodic", equally likely.

    Other Args:
        length, period, scale, noise: ranges of the hyperparameters, (low, high) with 0 < low; equal ends fix one.

    Raises:
        ArgumentError: an unknown kernel; a range other than 0 < low <= high.

    Examples:
        >>> tasks = qs.tasks.GaussianProcess(shots=5, queries=10, kernels=("rbf",))
        >>> episode, truth = tasks.train.sample_with_truth(4)
        >>> mean, std = posterior(episode.support, episode.query.x, truth)
        >>> mean.shape, std.shape
        (torch.Size([4, 10, 1]), torch.Size([4, 10, 1]))
        >>> bool((std[..., 0] >= truth["noise"][:, None]).all())
        True
    """

    def __init__(
        self,
        shots: Size = (3, 50),
        queries: Size = 50,
        *,
        kernels: Sequence[str] = tuple(KERNELS),
        length: Range = (0.2, 1.0),
        period: Range = (1.0, 3.0),
        scale: Range = (0.5, 1.5),
        noise: Range = (0.02, 0.2),
    ):
        train, validation, test = (
            GaussianProcessTasks(
                shots, queries, kernels=kernels, length=length, period=period, scale=scale, noise=noise, split=split
            )
            for split in SPLITS
        )
        super().__init__(train, validation, test)


def posterior(support: Examples, x: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of y at each x, given the support and the truth: no learner does better on average.

        mean  =  K_xs (K_ss + noise^2 I)^-1 y_s
        var   =  scale^2 + noise^2 - diag( K_xs (K_ss + noise^2 I)^-1 K_sx )

    Args:
        support: a batch, (tasks, examples, 1).
        x: (tasks, queries, 1).
        truth: of that batch, from `sample_with_truth`.

    Returns:
        Each (tasks, queries, 1), float64.
    """
    L = torch.linalg.cholesky(noisy(covariance(support.x, support.x, truth), truth))
    cross = covariance(support.x, x, truth)
    whitened = torch.linalg.solve_triangular(L, cross, upper=False)
    mean = whitened.mT @ torch.linalg.solve_triangular(L, support.y.double(), upper=False)
    prior = (truth["scale"].double() ** 2 + truth["noise"].double() ** 2)[:, None]
    return mean, (prior - (whitened**2).sum(1)).sqrt()[..., None]


def log_likelihood(episode: Episode, truth: Truth) -> Tensor:
    """log p(y | x, support, truth) of each query of a batch by itself, nats (tasks, queries): the mark for neural processes."""
    mean, std = posterior(episode.support, episode.query.x, truth)
    return torch.distributions.Normal(mean, std).log_prob(episode.query.y.double())[..., 0]


def covariance(x: Tensor, z: Tensor, truth: Truth) -> Tensor:
    """scale^2 k(x_i - z_j) for x (tasks, n, 1) and z (tasks, m, 1): (tasks, n, m), float64."""
    r = x.double() - z.double().mT
    length, period, scale = (truth[name].double()[:, None, None] for name in ("length", "period", "scale"))
    each = torch.stack([kernel(r, length, period) for kernel in KERNELS.values()])
    return scale**2 * each[truth["kernel"], torch.arange(len(r), device=r.device)]


def noisy(K: Tensor, truth: Truth) -> Tensor:
    """K + noise^2 I."""
    return K + truth["noise"].double()[:, None, None] ** 2 * torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)
