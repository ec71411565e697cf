"""Every learner there is, built small, with an episode that it can learn. A new learner is added here, and all checks run on it.

A case is a function that builds (learner, episode) from a fixed random state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

import quickstudy as qs
from quickstudy.learners.compare.centroid import CentredCentroid
from quickstudy.learners.descend import Adam, Momentum
from quickstudy.learners.solve.ridge import Ridge
from quickstudy.learners.wrap.standardised import Standardised

FEATURES, WAYS, SHOTS, QUERIES = 6, 3, 3, 2

Case = Callable[[], tuple[qs.Learner, qs.Episode]]
Module = TypeVar("Module", bound=nn.Module)


def classes() -> qs.Episode:
    """3-way 3-shot."""
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, FEATURES), torch.arange(WAYS).repeat(n), WAYS)
    return qs.Episode(draw(SHOTS), draw(QUERIES))


def targets() -> qs.Episode:
    """A regression task."""
    draw = lambda n: qs.Examples(torch.randn(n, FEATURES), torch.randn(n, 1))
    return qs.Episode(draw(7), draw(5))


def network(outputs: int = WAYS) -> nn.Module:
    """quickstudy's own: saved by name."""
    return qs.models.mlp(FEATURES, outputs, hidden=(8,))


def normed() -> nn.Module:
    """A foreign one, with batch norm, dropout and a layer norm."""
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.LayerNorm(8), nn.Linear(8, WAYS)
    )


def stirred(module: Module, by: float = 0.05) -> Module:
    """The module with its parameters moved a little, so that none of them is 0 or like another."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return module


def case(learner: Callable[[], qs.Learner], episode: Callable[[], qs.Episode] = classes) -> Case:
    """The case of a learner, built under a fixed seed."""

    def build():
        torch.manual_seed(0)
        return learner(), episode()

    return build


CASES: dict[str, Case] = {
    # compare
    "Prototypical": case(lambda: qs.Prototypical(network())),
    **{
        f"Prototypical, {policy}": case(lambda policy=policy: qs.Prototypical(normed(), normalisation=policy))
        for policy in ("support", "running", "transductive", "frozen")
    },
    "CentredCentroid": case(lambda: CentredCentroid()),
    "CentredCentroid, embedded": case(lambda: CentredCentroid(normed(), mean=torch.randn(WAYS))),
    # solve
    "Ridge": case(lambda: Ridge(network(), penalty=0.5, scale=3.0)),
    "Ridge, Woodbury": case(lambda: Ridge(network(20), intercept=True)),
    "Ridge, targets": case(lambda: Ridge(network(), intercept=True), targets),
    **{
        f"Ridge, {policy}": case(lambda policy=policy: Ridge(normed(), normalisation=policy))
        for policy in ("support", "running", "transductive", "frozen")
    },
    # descend
    "MAML": case(lambda: qs.MAML(network(), inner_lr=0.3, inner_steps=2)),
    "MAML, targets": case(lambda: qs.MAML(network(1), inner_lr=0.1, inner_steps=2), targets),
    **{
        f"MAML, {policy}": case(lambda policy=policy: qs.MAML(normed(), inner_lr=0.3, inner_steps=2, normalisation=policy))
        for policy in ("support", "running", "transductive", "frozen")
    },
    "MAML, recomputed": case(lambda: qs.MAML(normed(), inner_lr=0.3, inner_steps=2, hypergradient=qs.Unrolled(recompute=True))),
    "MAML, Adam": case(lambda: qs.MAML(network(), inner_lr=0.1, inner_steps=2, rule=Adam(), clip=1.0)),
    "MAML, momentum": case(lambda: qs.MAML(network(), inner_lr=0.1, inner_steps=2, rule=Momentum())),
    "MAML, own loss": case(lambda: qs.MAML(network(1), inner_lr=0.1, loss=lambda p, y: ((p - y) ** 4).mean()), targets),
    "MAML, every step": case(lambda: qs.MAML(network(), inner_lr=0.3, inner_steps=2, step_weights=(0.2, 0.3, 0.5))),
    "MAML, truncated": case(lambda: qs.MAML(network(), inner_lr=0.3, inner_steps=3, hypergradient=qs.Truncated(1))),
    "FOMAML": case(lambda: qs.FOMAML(network(), inner_lr=0.3, inner_steps=2)),
    "ANIL": case(lambda: qs.ANIL(network(), inner_lr=0.3, inner_steps=2)),
    "Meta-SGD": case(lambda: qs.MetaSGD(normed(), inner_lr=0.3)),
    "Reptile": case(lambda: qs.Reptile(network(), inner_lr=0.01, inner_steps=3)),
    "iMAML": case(lambda: qs.IMAML(network(), inner_lr=0.1, inner_steps=4, proximal_weight=3.0)),
    # transfer
    "FromScratch": case(lambda: qs.FromScratch(network(), inner_steps=5)),
    "FromScratch, targets": case(lambda: qs.FromScratch(network(1), inner_steps=5), targets),
    "NearestCentroid": case(lambda: qs.NearestCentroid()),
    "NearestCentroid, embedded": case(lambda: qs.NearestCentroid(normed())),
    "Standardised": case(lambda: Standardised(Ridge(network(), normalisation="support"))),
    "Standardised, clipped": case(lambda: Standardised(qs.MAML(network(), inner_lr=0.3, inner_steps=2), clip=1.5)),
    "Ensemble": case(lambda: stirred(qs.Ensemble(qs.Prototypical(network()), 3))),
    "Ensemble, MAML": case(lambda: stirred(qs.Ensemble(qs.MAML(network(), inner_lr=0.3, inner_steps=2), 2))),
    "Ensemble, targets": case(lambda: stirred(qs.Ensemble(Ridge(network(), intercept=True), 2)), targets),
    **{
        f"Ensemble, {policy}": case(lambda policy=policy: stirred(qs.Ensemble(qs.MAML(normed(), normalisation=policy), 2)))
        for policy in ("support", "running", "transductive", "frozen")
    },
    "Standardised, targets": case(lambda: Standardised(Ridge(intercept=True)), targets),
}
