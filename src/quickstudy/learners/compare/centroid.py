"""Centred centroids: nearest class mean after centring and scaling the features to length 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import ShapeError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.functional import class_means, squared_distance, unit
from quickstudy.learners.learner import Learner, check_ways
from quickstudy.learners.outcome import Values


class CentredCentroid(Learner):
    """Classify a query by its nearest class mean among centred features of length 1, in a frozen embedding.

        m    =  the mean of f(x) over the base data where it is given, else over the support               (1)
        z    =  (f(x) - m) / || f(x) - m ||                                                                (2)
        c_k  =  1/|S_k| sum_{(x, y) in S_k} z                                                              (3)
        p(y = k | x)  =  softmax_k( - s || z - c_k ||^2 )                                                  (4)

    Nothing is meta-trained: `meta_train` passes over it (`meta_learns` is False).

    Args:
        embed: f, (examples, *feature) -> (examples, features), usually pre-trained; None: the raw values, flattened.
        mean: m (features,), the mean of f(x) over the data that f was trained on; None: the support's own mean.

    Other Args:
        scale: s. It does not change which centroid is nearest; squared distances between vectors of length 1 are at most 4, so
            s = 1 would make all classes almost equally probable.
        normalisation: "running" by default, as a pre-trained embedding has running averages.

    Raises:
        ShapeError: a mean that is not a vector, or whose length differs from the number of features of f.

    Source: Wang, Chao, Weinberger & van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
    Learning", 2019 (CL2N). Differs from it: m may be the support's mean, and (4) gives probabilities.

    Examples:
        >>> from quickstudy.learners.compare import CentredCentroid
        >>> support = qs.Examples(torch.tensor([[9.0, 1.0], [1.0, 9.0]]), torch.tensor([0, 1]))
        >>> CentredCentroid().adapt(support).predict(torch.tensor([[8.0, 2.0], [2.0, 3.0]]))
        tensor([0, 1])
    """

    meta_learns = False
    mean: Tensor | None

    def __init__(
        self,
        embed: nn.Module | None = None,
        *,
        mean: Tensor | None = None,
        scale: float = 10.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(normalisation=normalisation)
        self.embed = nn.Flatten() if embed is None else plain("embed", embed)
        if mean is not None and mean.ndim != 1:
            raise ShapeError("mean", expected="(features,)", got=str(tuple(mean.shape)), do="Average f(x) over the examples.")
        self.register_buffer("mean", None if mean is None else mean.detach().clone())
        self.arguments = {name: value for name, value in self.arguments.items() if name != "mean"}  # saved among the weights
        self.scale = scale

    def learn(self, support: Examples) -> Values:
        """The centroids (ways, features) and the centre (features,)."""
        z, ways = apply(self.embed, support.x), check_ways("support.y", support)
        centre = z.mean(0) if self.mean is None else self._given(z)  # (1)
        return {"centroids": class_means(unit(z - centre), support.y, ways), "centre": centre}  # (2), (3)

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return -self.scale * squared_distance(unit(apply(self.embed, x) - state["centre"]), state["centroids"])  # (4)

    def _given(self, z: Tensor) -> Tensor:
        assert self.mean is not None
        if self.mean.shape != z.shape[1:]:
            raise ShapeError(
                "mean",
                expected=f"({z.shape[1]},), one number for each feature of the embedding",
                got=str(tuple(self.mean.shape)),
                do="Average this embedding over the base data.",
            )
        return self.mean.to(z.dtype)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        if self.mean is None and prefix + "mean" in state_dict:
            self.mean = torch.empty_like(state_dict[prefix + "mean"])
        super()._load_from_state_dict(state_dict, prefix, *args)
