"""A learned metric around the class means: a scale (TADAM's), or a linear map (Mahalanobis)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError
from quickstudy.forward.call import plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.compare.comparison import Comparison
from quickstudy.learners.functional import class_means, squared_distance
from quickstudy.learners.outcome import Values


class LearnedMetric(Comparison):
    """Classify a query by its nearest class mean under a learned metric.

        c_k  =  1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                  (1)
        p(y = k | x)  =  softmax_k( - d_phi( f_phi(x), c_k ) )                        (2)

    d is `ScaledDistance()` or `Mahalanobis(features)`, or any module (n, features), (m, features) -> (n, m). Both start as the
    squared distance, where this learner equals `Prototypical`.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        metric: d; None: `ScaledDistance()`.
        normalisation: "running" by default.

    Source: Oreshkin, Rodriguez & Lacoste, "TADAM: Task dependent adaptive metric for improved few-shot learning", NeurIPS 2018,
    eq. 2 (its metric alone: not its task conditioning, nor its auxiliary task).

    Examples:
        >>> embed = qs.models.mlp(4, 8)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4).train.sample(1)[0]
        >>> logits = qs.LearnedMetric(embed)(task.support, task.query.x)
        >>> torch.allclose(logits, qs.Prototypical(embed)(task.support, task.query.x))  # before meta-training
        True
    """

    def __init__(self, embed: nn.Module, metric: nn.Module | None = None, *, normalisation: Normalisation = "running"):
        super().__init__(embed, normalisation=normalisation)
        self.metric = ScaledDistance() if metric is None else plain("metric", metric)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """The prototypes (ways, features)."""
        return {"prototypes": class_means(z, y, ways)}  # (1)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return -self.metric(z, state["prototypes"])  # (2)


@checked
class ScaledDistance(nn.Module):
    """The squared distance times a learned scale.

        d(a, b)  =  alpha || a - b ||^2,      alpha = exp(log_scale) > 0

    Training with a small alpha pulls a query to its class and away from all others alike, with a large one only away from the
    nearest wrong class (lemma 1 of TADAM). alpha sets this regime; the embedding alone could change it only by growing.

    Args:
        scale: initial alpha, above 0. Differs from TADAM, whose alpha may change its sign.

    Raises:
        ArgumentError: a scale that is not above 0.

    Source: Oreshkin et al. 2018, eq. 2.

    Examples:
        >>> from quickstudy.learners.compare import ScaledDistance
        >>> distance = ScaledDistance(scale=2.0)(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        >>> round(distance.item(), 3)
        50.0
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        if not scale > 0:
            raise ArgumentError("scale", expected="a number above 0", got=str(scale), do="1 is the squared distance itself.")
        self.scale = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, features), (m, features) -> (n, m)."""
        return self.log_scale.exp() * squared_distance(a, b)


@checked
class Mahalanobis(nn.Module):
    """The squared distance after a learned linear map.

        d(a, b)  =  (a - b)' M (a - b)  =  || L a - L b ||^2,      M = L'L

    Args:
        features: number of features of a and b.
        rank: rows of L, at most `features`; None: `features`. L starts as the identity, or its first rows.

    Raises:
        ArgumentError: a rank below 1 or above `features`.

    Source: Goldberger, Roweis, Hinton & Salakhutdinov, "Neighbourhood Components Analysis", NeurIPS 2004, section 2.

    Examples:
        >>> from quickstudy.learners.compare import Mahalanobis
        >>> metric = Mahalanobis(features=2, rank=1)  # before training it sees the first feature alone
        >>> metric(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])).item()
        9.0
    """

    def __init__(self, features: PositiveInt, rank: int | None = None):
        super().__init__()
        if rank is not None and not 1 <= rank <= features:
            raise ArgumentError("rank", expected=f"1 to features={features}", got=str(rank), do="Leave it out for all of them.")
        self.features, self.rank = features, rank
        self.L = nn.Parameter(torch.eye(features if rank is None else rank, features))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, features), (m, features) -> (n, m)."""
        return squared_distance(a @ self.L.T, b @ self.L.T)
