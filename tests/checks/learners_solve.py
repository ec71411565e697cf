"""The learners that solve for a head, or start one from the class means: cases of the checks, as in `tests.checks.learners`."""

from __future__ import annotations

import torch
from tests.checks.learners import FEATURES, WAYS, Case, case, classes, network, normed

import quickstudy as qs
from quickstudy.learners.descend import Adam
from quickstudy.learners.descend.rates import LearnedRates
from quickstudy.learners.solve.logistic import Logistic
from quickstudy.learners.solve.svm import SVM
from quickstudy.learners.transfer.cosine_probe import CosineProbe
from quickstudy.learners.transfer.pretext import CosineClassifier
from quickstudy.recipes.baseline_plus_plus import BaselinePlusPlus
from quickstudy.recipes.proto_maml import ProtoMAML
from quickstudy.recipes.r2d2 import R2D2

POLICIES = ("support", "running", "transductive", "frozen")


def odd() -> qs.Episode:
    """3-way with 1, 2 and 4 examples of the classes."""
    y = torch.tensor([0, 1, 1, 2, 2, 2, 2])
    return qs.Episode(qs.Examples(torch.randn(len(y), FEATURES), y, WAYS), classes().query)


CASES: dict[str, Case] = {
    "R2D2": case(lambda: R2D2(network(20))),
    "R2D2, unequal classes": case(lambda: R2D2(normed()), odd),
    "Logistic": case(lambda: Logistic(network(), penalty=0.5, scale=3.0)),
    "Logistic, Woodbury": case(lambda: Logistic(network(20), newton_steps=2)),
    "SVM": case(lambda: SVM(network(), C=1.0, scale=3.0)),
    "SVM, more features than examples": case(lambda: SVM(network(20))),
    "SVM, unequal classes": case(lambda: SVM(normed(), C=2.0), odd),
    "Proto-MAML": case(lambda: ProtoMAML(network(), inner_lr=0.05, inner_steps=2)),
    "Proto-MAML, unequal classes": case(lambda: ProtoMAML(normed(), inner_lr=0.05, inner_steps=2), odd),
    "Proto-MAML, no steps": case(lambda: ProtoMAML(normed(), inner_steps=0)),
    "Proto-MAML, learned rates": case(lambda: ProtoMAML(network(), inner_lr=LearnedRates(0.05), inner_steps=2)),
    "Proto-MAML, first order": case(lambda: ProtoMAML(network(), inner_lr=0.05, hypergradient=qs.FirstOrder())),
    "Proto-MAML, Adam": case(lambda: ProtoMAML(network(), inner_lr=0.05, inner_steps=2, rule=Adam(), clip=1.0)),
    "Baseline++": case(lambda: BaselinePlusPlus(network(), inner_steps=6)),
    "Baseline++, a network of one's own": case(lambda: BaselinePlusPlus(normed(), inner_steps=6)),
}
for policy in POLICIES:
    CASES[f"Logistic, {policy}"] = case(lambda policy=policy: Logistic(normed(), normalisation=policy))
    CASES[f"SVM, {policy}"] = case(lambda policy=policy: SVM(normed(), C=1.0, normalisation=policy))
    CASES[f"Proto-MAML, {policy}"] = case(
        lambda policy=policy: ProtoMAML(normed(), inner_lr=0.05, inner_steps=2, normalisation=policy)
    )
    CASES[f"CosineProbe, {policy}"] = case(
        lambda policy=policy: CosineProbe(normed(), CosineClassifier(), inner_steps=4, normalisation=policy)
    )
