"""The learners of generalise/, and the one that answers without a support, for the checks."""

from __future__ import annotations

from tests.checks.learners import FEATURES, WAYS, Case, case, network, normed, stirred, targets

import quickstudy as qs
from quickstudy.learners.generalise import DomainDescent, FeatureCritic, GroupDRO, MetaReg, WithoutSupport


def embedding() -> qs.models.MLP:
    return qs.models.mlp(FEATURES, 5, hidden=(8,))


def head() -> qs.models.MLP:
    return qs.models.mlp(5, WAYS, hidden=())


CASES: dict[str, Case] = {
    "WithoutSupport": case(lambda: WithoutSupport(qs.MAML(network(), inner_lr=0.3, inner_steps=2))),
    "WithoutSupport, targets": case(lambda: WithoutSupport(qs.MAML(network(1), inner_lr=0.1)), targets),
    **{
        f"WithoutSupport, {policy}": case(
            lambda policy=policy: WithoutSupport(qs.MAML(normed(), inner_lr=0.3, normalisation=policy))
        )
        for policy in ("running", "transductive", "frozen")
    },
    "GroupDRO": case(lambda: stirred(GroupDRO(network(), domains=3, rate=0.5))),
    **{
        f"GroupDRO, {policy}": case(lambda policy=policy: GroupDRO(normed(), domains=3, rate=0.5, normalisation=policy))
        for policy in ("running", "transductive", "frozen")
    },
    "DomainDescent": case(lambda: DomainDescent(network(), domains=3, hypergradient=qs.Unrolled())),
    "FeatureCritic": case(lambda: stirred(FeatureCritic(embedding(), head(), critic=qs.models.mlp(5, 1, hidden=(4,))))),
    "MetaReg": case(lambda: stirred(MetaReg(embedding(), head(), domains=3, initial=0.1))),
}
