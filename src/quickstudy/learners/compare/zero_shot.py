"""Zero-shot classification: prototypes from descriptions of the classes, without any examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from quickstudy.episode import Examples
from quickstudy.errors import UnsupportedError
from quickstudy.forward.call import apply, plain
from quickstudy.forward.context import Normalisation
from quickstudy.learners.functional import class_means, squared_distance, unit
from quickstudy.learners.learner import Learner, check_ways
from quickstudy.learners.outcome import Values


class ZeroShot(Learner):
    """Classify a query by the nearest class description, in a space learned for both.

        c_k  =  g_phi(v_k) / || g_phi(v_k) ||                                        (1)
        p(y = k | x)  =  softmax_k( - || f_phi(x) - c_k ||^2 )                       (2)

    The support is `Examples(v, y)`: one description v_k (attributes, an embedded text, ...) for each class, and no x (K = 0).
    Several descriptions of one class are averaged after (1). Queries are x. Support and query of an `Episode` then differ in
    kind, and v is wrapped in a mapping of one entry, {"description": v}: see `quickstudy.tasks.distribution.described`.

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        describe: g, (classes, *description) -> (classes, features).
        unit_length: whether (1) divides by the length: v and x come from different domains, and their lengths are not comparable.
        normalisation: "running" by default; "support" is refused, as there is no x in the support to take statistics of.

    Raises:
        UnsupportedError: normalisation="support".

    Source: Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, sections 2.7 and 3.3.

    Examples:
        >>> learner = qs.ZeroShot(embed=qs.models.mlp(4, 8), describe=qs.models.mlp(6, 8))
        >>> descriptions = qs.Examples(torch.randn(3, 6), torch.arange(3))  # one for each class
        >>> learner.adapt(descriptions)(torch.randn(10, 4)).shape
        torch.Size([10, 3])
    """

    query_like_support = False

    def __init__(
        self, embed: nn.Module, describe: nn.Module, *, unit_length: bool = True, normalisation: Normalisation = "running"
    ):
        super().__init__(normalisation=normalisation)
        if normalisation == "support":
            raise UnsupportedError(
                "normalisation",
                expected="'running', 'transductive' or 'frozen', as the support has descriptions and no x to take statistics of",
                got="'support'",
                do="Leave it out: 'running' is the default.",
            )
        self.embed, self.describe = plain("embed", embed), plain("describe", describe)
        self.unit_length = unit_length

    def learn(self, support: Examples) -> Values:
        """The prototypes (ways, features)."""
        (v,) = support.x.values() if isinstance(support.x, Mapping) else (support.x,)
        c = apply(self.describe, v)
        c = unit(c) if self.unit_length else c  # (1)
        return {"prototypes": class_means(c, support.y, check_ways("support.y", support))}

    def predict(self, state: Values, x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(apply(self.embed, x), state["prototypes"])  # (2)
