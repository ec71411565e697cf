"""Nearest centroid: nothing is learned but the class means."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.functional import class_means, squared_distance
from quickstudy.learners.learner import Learner, check_ways
from quickstudy.learners.outcome import Values


class NearestCentroid(Learner):
    """Classify a query by its nearest class mean, in pixels or in a frozen embedding.

        c_k  = 1/|S_k| sum_{(x, y) in S_k} f(x)                                      (1)
        p(y = k | x)  =  softmax_k( - || f(x) - c_k ||^2 )                           (2)

    Prototypical's equations with an f that is not meta-learned: `meta_train` passes over it (`meta_learns` is False).

    Args:
        embed: f, (examples, *feature) -> (examples, features), for example a pre-trained one; None: the raw pixels.
        normalisation: "running" by default, as a pre-trained embedding has running averages.

    Source: Mensink et al., "Distance-Based Image Classification: Generalizing to New Classes at Near-Zero Cost", TPAMI 2013.

    Examples:
        >>> support = qs.Examples(torch.tensor([[0.0], [2.0], [10.0]]), torch.tensor([0, 0, 1]))
        >>> predictor = qs.NearestCentroid().adapt(support)  # centroids 1 and 10
        >>> predictor.predict(torch.tensor([[5.0], [6.0]]))
        tensor([0, 1])
    """

    meta_learns = False

    def __init__(self, embed: nn.Module | None = None, *, normalisation: Normalisation = "running"):
        super().__init__(normalisation=normalisation)
        self.embed = nn.Flatten() if embed is None else plain("embed", embed)

    def learn(self, support: Examples) -> Values:
        """The centroids (ways, features)."""
        return {"centroids": class_means(apply(self.embed, support.x), support.y, check_ways("support.y", support))}  # (1)

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(apply(self.embed, x), state["centroids"])  # (2)
