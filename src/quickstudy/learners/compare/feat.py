"""FEAT: a set-to-set transformer adapts the prototypes to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quickstudy.arguments import PositiveFloat, PositiveInt, checked
from quickstudy.episode import Episode, Examples
from quickstudy.errors import ArgumentError
from quickstudy.forward.context import Context, Normalisation
from quickstudy.learners.compare.comparison import Comparison, check_hard, features_of
from quickstudy.learners.compare.matching import check_temperature
from quickstudy.learners.functional import class_means, squared_distance
from quickstudy.learners.learner import Loss, check_ways
from quickstudy.learners.outcome import Log, Outcome, Values


class FEAT(Comparison):
    """Classify a query by its nearest prototype, after the prototypes of the task have attended to each other.

        c_k       =  1/|S_k| sum_{(x, y) in S_k} f_phi(x)                                                        (1)
        psi       =  T_phi( c_1, ..., c_ways ),       T a function of sets: see `SetToSet`                       (2)
        p(y = k | x)  =  softmax_k( - || f_phi(x) - psi_k ||^2 / tau )                                           (3)

    In meta-training T is also applied within each class, to its support and queries together, which gives psi' for each example
    and their mean c'_k for each class. The second term of the loss makes T keep each class together:

        loss  =  CE( (3), y )  +  lambda  CE( softmax_k( - || psi'_x - c'_k ||^2 / tau ), y ),    x of the query    (4)

    Args:
        embed: f, (examples, *feature) -> (examples, features).
        adapts: T; None: `SetToSet(features)` for a network of `quickstudy.models`.
        contrast: lambda, 0 or more.

    Other Args:
        temperature: tau, above 0. The authors have two; here there is one.
        normalisation: "running" by default.

    Raises:
        ArgumentError: a contrast below 0, a temperature that is not above 0, no `adapts` for a network that is not from
            `quickstudy.models`.

    Source: Ye, Hu, Zhan & Sha, "Few-Shot Learning via Embedding Adaptation with Set-to-Set Functions", CVPR 2020, sections 3.2
    to 3.4. Differs from their code: (4) is of the queries, as their equation has it, and not of the support as well; f is not
    pre-trained (give one that is).

    Examples:
        >>> learner = qs.FEAT(qs.models.mlp(4, 8), contrast=0.1)
        >>> task = qs.tasks.GaussianClasses(ways=3, dim=4, shots=5).test.sample(1)[0]
        >>> learner.adapt(task.support).state  # the adapted prototypes
        State(values={'prototypes': (3, 8)}, statistics of [])
    """

    def __init__(
        self,
        embed: nn.Module,
        adapts: SetToSet | None = None,
        *,
        contrast: float = 0.1,
        temperature: PositiveFloat = 1.0,
        normalisation: Normalisation = "running",
    ):
        super().__init__(embed, normalisation=normalisation)
        if contrast < 0:
            raise ArgumentError("contrast", expected="0 or more", got=str(contrast), do="0 leaves the second loss out.")
        self.adapts = SetToSet(features_of("adapts", embed)) if adapts is None else adapts
        self.contrast, self.temperature = contrast, check_temperature(temperature)

    def read(self, z: Tensor, y: Tensor, ways: int) -> Values:
        """The adapted prototypes (ways, features)."""
        return {"prototypes": self.adapts(class_means(z, y, ways))}  # (1), (2)

    def compare(self, state: Values, z: Tensor) -> Tensor:
        """Logits (examples, ways)."""
        return -squared_distance(z, state["prototypes"]) / self.temperature  # (3)

    def outcome(self, episode: Episode, context: Context, criterion: Loss | None = None) -> Outcome:
        """Both terms of (4), computed from support and query together."""
        return self.jointly(episode, context, criterion)

    def compared(self, support_z: Tensor, query_z: Tensor, episode: Episode, criterion: Loss) -> tuple[Tensor, Log]:
        """(4)"""
        loss, log = super().compared(support_z, query_z, episode, criterion)
        if self.contrast == 0:
            return loss, log
        check_hard(self, episode.query, "give FEAT(contrast=0)")
        within = self.within_classes(support_z, query_z, episode.support, episode.query)
        return loss + self.contrast * criterion(within, episode.query.y), log

    def within_classes(self, support_z: Tensor, query_z: Tensor, support: Examples, query: Examples) -> Tensor:
        """The logits of the second term: - || psi'_x - c'_k ||^2 / tau for each query x."""
        z, y = torch.cat([support_z, query_z]), torch.cat([support.y, query.y])
        psi = self.adapts(z, y[:, None] == y[None, :])
        centres = class_means(psi, y, check_ways("support.y", support))
        return -squared_distance(psi[len(support_z) :], centres) / self.temperature


@checked
class SetToSet(nn.Module):
    """One layer of self-attention over a set, added to it.

        A    =  softmax( (Z W_Q)(Z W_K)' / sqrt(features) ),       by rows                        (1)
        psi  =  Z  +  A (Z W_V) W_O                                                               (2)

    There are no positions, so permuting Z permutes psi.

    Args:
        features: number of features of each member of the set.
        dropout: rate on A and on the added term. 0.5 in the authors' code, for a pre-trained embedding; none by default here.

    Raises:
        ArgumentError: a dropout outside [0, 1).

    Source: Ye et al. 2020, section 3.3; Vaswani et al., "Attention Is All You Need", NeurIPS 2017, eq. 1. Differs from the
    authors' code: no layer norm after (2), so that psi stays where the queries are.

    Examples:
        >>> from quickstudy.learners.compare import SetToSet
        >>> adapts, z = SetToSet(features=8), torch.randn(5, 8)
        >>> torch.allclose(adapts(z.flip(0)), adapts(z).flip(0), atol=1e-5)
        True
    """

    def __init__(self, features: PositiveInt, dropout: float = 0.0):
        super().__init__()
        if not 0 <= dropout < 1:
            raise ArgumentError("dropout", expected="0 or more, below 1", got=str(dropout), do="0 leaves it out.")
        self.features, self.dropout = features, dropout
        self.query, self.key, self.value, self.output = (nn.Linear(features, features, bias=False) for _ in range(4))

    def forward(self, z: Tensor, within: Tensor | None = None) -> Tensor:
        """Psi of z, both (members, features). `within` (members, members): which pairs may attend; None: all."""
        scores = self.query(z) @ self.key(z).T / self.features**0.5
        if within is not None:
            scores = scores.masked_fill(~within, -torch.inf)
        attention = F.dropout(scores.softmax(1), self.dropout, self.training)  # (1)
        return z + F.dropout(self.output(attention @ self.value(z)), self.dropout, self.training)  # (2)
