"""The learners that compare, built small: cases of the checks, as in `tests.checks.learners`."""

from __future__ import annotations

import torch
from tests.checks.learners import FEATURES, WAYS, Case, case, classes, network, normed
from torch import nn

import quickstudy as qs
from quickstudy.learners.compare.feat import FEAT, SetToSet
from quickstudy.learners.compare.learned_metric import LearnedMetric, Mahalanobis, ScaledDistance
from quickstudy.learners.compare.matching import FullContext, MatchingNetwork
from quickstudy.learners.compare.relation import RelationNetwork
from quickstudy.learners.compare.zero_shot import ZeroShot

POLICIES = ("support", "running", "transductive", "frozen")
ATTRIBUTES = 4


def images() -> qs.Episode:
    """3-way 3-shot of 1 x 16 x 16."""
    flat = classes()
    draw = lambda part: qs.Examples(torch.randn(len(part), 1, 16, 16), part.y, WAYS)
    return qs.Episode(draw(flat.support), draw(flat.query))


def described() -> qs.Episode:
    """3-way, two descriptions of each class, queries as everywhere."""
    y = torch.arange(WAYS).repeat(2)
    return qs.Episode(qs.Examples({"description": torch.randn(len(y), ATTRIBUTES)}, y, WAYS), classes().query)


def pair_network() -> nn.Module:
    """A relation module of vectors, with a norm of its own."""
    return nn.Sequential(nn.Linear(2 * WAYS, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))


def feat(policy: str = "running", dropout: float = 0.3) -> qs.Learner:
    """With dropout in the transformer."""
    return FEAT(normed(), SetToSet(WAYS, dropout), contrast=0.5, temperature=2.0, normalisation=policy)


def metric(own: nn.Module) -> nn.Module:
    """A metric, moved away from the plain distance."""
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return own


CASES: dict[str, Case] = {
    "Matching": case(lambda: MatchingNetwork(network(), temperature=0.5)),
    "Matching, full context": case(lambda: MatchingNetwork(network(), FullContext(WAYS, steps=2), temperature=0.5)),
    "Matching, full context, support": case(
        lambda: MatchingNetwork(normed(), FullContext(WAYS, steps=1), temperature=0.5, normalisation="support")
    ),
    "Relation": case(lambda: RelationNetwork(network(), qs.models.mlp(2 * WAYS, 1, hidden=(5,)))),
    "Relation, maps": case(
        lambda: RelationNetwork(qs.models.conv4(channels=4, size=16, pooled=2, maps=True), normalisation="support"), images
    ),
    "LearnedMetric, scaled": case(lambda: LearnedMetric(network(), metric(ScaledDistance(0.5)))),
    "LearnedMetric, Mahalanobis": case(lambda: LearnedMetric(network(), metric(Mahalanobis(WAYS, 2)))),
    "FEAT": case(lambda: FEAT(network())),
    "ZeroShot": case(lambda: ZeroShot(network(), qs.models.mlp(ATTRIBUTES, WAYS, hidden=())), described),
    **{
        f"ZeroShot, {policy}": case(
            lambda policy=policy: ZeroShot(
                normed(), nn.Sequential(nn.Linear(ATTRIBUTES, WAYS), nn.BatchNorm1d(WAYS)), normalisation=policy
            ),
            described,
        )
        for policy in POLICIES
        if policy != "support"
    },
}
for policy in POLICIES:
    CASES[f"Matching, {policy}"] = case(lambda policy=policy: MatchingNetwork(normed(), temperature=0.5, normalisation=policy))
    CASES[f"Relation, {policy}"] = case(lambda policy=policy: RelationNetwork(normed(), pair_network(), normalisation=policy))
    CASES[f"LearnedMetric, {policy}"] = case(
        lambda policy=policy: LearnedMetric(normed(), metric(Mahalanobis(WAYS)), normalisation=policy)
    )
    CASES[f"FEAT, {policy}"] = case(lambda policy=policy: feat(policy))

assert FEATURES == 6  # of the episodes above
