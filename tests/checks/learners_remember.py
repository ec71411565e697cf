"""The learners that read the support into a memory, built small: cases of the checks, as in `tests.checks.learners`."""

from __future__ import annotations

from tests.checks.learners import FEATURES, SHOTS, WAYS, Case, case, network, normed, targets

import quickstudy as qs
from quickstudy.learners.read.hypernetwork import Hypernetwork
from quickstudy.learners.read.mann import MANN
from quickstudy.learners.read.neural_process import CrossAttention, NeuralProcess, NeuralProcessClassifier
from quickstudy.learners.read.snail import SNAIL

POLICIES = ("support", "running", "transductive", "frozen")


def mann(policy: str | None = None, **arguments) -> qs.Learner:
    embed = network() if policy is None else normed()
    sizes = {"slots": 7, "width": 3, "hidden": 5, "heads": 2, **arguments}
    return MANN(embed, WAYS, WAYS + 1, normalisation=policy or "running", **sizes)


def snail(policy: str | None = None) -> qs.Learner:
    embed = network() if policy is None else normed()
    sizes = {"filters": 3, "attention": ((4, 3), (3, 2))}
    return SNAIL(embed, WAYS, WAYS + 1, WAYS * SHOTS + 1, normalisation=policy or "running", **sizes)


def process(attentive: bool = False, **arguments) -> qs.Learner:
    pooling = CrossAttention(FEATURES, 8, heads=2) if attentive else None
    return NeuralProcess(FEATURES, 1, pooling=pooling, width=8, **arguments)


CASES: dict[str, Case] = {
    "MANN": case(mann),
    "MANN, feed-forward": case(lambda: mann(recurrent=False)),
    "MANN, queries alone": case(lambda: mann(sequence=False, heads=1)),
    "SNAIL": case(snail),
    "NeuralProcess": case(process, targets),
    "NeuralProcess, attentive": case(lambda: process(attentive=True), targets),
    "NeuralProcess, for labels": case(lambda: NeuralProcessClassifier(network(), WAYS, width=16)),
    "Hypernetwork": case(lambda: Hypernetwork(network(), WAYS, hidden=4, rank=2, width=5)),
    "Hypernetwork, linear": case(lambda: Hypernetwork(network(), WAYS, hidden=0, width=5)),
}
for policy in POLICIES:
    CASES[f"MANN, {policy}"] = case(lambda policy=policy: mann(policy))
    CASES[f"SNAIL, {policy}"] = case(lambda policy=policy: snail(policy))
    CASES[f"NeuralProcess, for labels, {policy}"] = case(
        lambda policy=policy: NeuralProcessClassifier(normed(), WAYS, width=5, normalisation=policy)
    )
    CASES[f"Hypernetwork, {policy}"] = case(
        lambda policy=policy: Hypernetwork(normed(), WAYS, hidden=4, rank=2, width=5, normalisation=policy)
    )
