"""Few-shot Omniglot: every learner that classifies images, at 5-way 1-shot; then the protocols with more shots and ways."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from benchmarks.reproduction.entry import FULL, LONG, Entry, Result, falling, scored, timed
from benchmarks.reproduction.few_shot_method import FIRST, HARD, PROTOCOLS, Method, omniglot
from quickstudy.learners.compare import FullContext, Mahalanobis, ScaledDistance
from quickstudy.meta.estimators import ReptileDirection
from quickstudy.tasks import TaskFamily

HERE = Path(__file__).resolve().parent
HELD_OUT = str(HERE / "splits" / "drawn_to_real")  # the generator of Strokes was tuned on its train and validation characters


def conv4(**given: Any) -> torch.nn.Module:
    """The field's Conv4-64."""
    return qs.models.conv4(**given)


def half(ways: int) -> torch.nn.Module:
    """Conv4-32: half the channels, more steps in the time."""
    return qs.models.conv4(ways=ways, channels=32)


def half_size() -> torch.nn.Module:
    """14 x 14, three blocks of 32 channels: the paper of MANN reads 20 x 20, of SNAIL 28 x 28 with 64 channels."""
    return torch.nn.Sequential(torch.nn.AvgPool2d(2), qs.models.conv4(channels=32, size=14, pooled=3))


class UnitLength(torch.nn.Module):
    """x / ||x||"""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x, dim=1)


def own(steps: int) -> None:
    """The learner's own outer method."""


def reptile_outer(steps: int) -> qs.Gradient:
    """A step towards the adapted weights, whose length falls to 0."""
    return qs.Gradient(ReptileDirection(), partial(torch.optim.SGD, lr=1.0), falling(steps))


COMPARES = {"ways": 30, "queries": 3, "tasks_per_step": 2}  # many ways and few queries: what the field found for embeddings
DESCENDS = {"queries": 5, "tasks_per_step": 8}
PAPER_MAML = {"queries": 3, "tasks_per_step": 4}
TRANSDUCTIVE: Any = {"normalisation": "transductive"}
OFTEN = 30  # validations, where the page gives the seconds to an accuracy

METHODS: dict[str, Method] = {
    "prototypical": Method(
        "Prototypical",
        lambda at: qs.Prototypical(conv4()),
        COMPARES,
        any_ways=True,
        seconds=FULL,
        validations=OFTEN,
        papers={"5w1s": "98.8", "5w5s": "99.7", "20w1s": "96.0", "20w5s": "98.9"},
        targets={"5w1s": 98.5, "5w5s": 99.4, "20w1s": 95.0},
    ),
    "maml_transductive": Method(
        "MAML, Conv4-32",
        lambda at: qs.MAML(half(at.ways), inner_lr=0.4, **TRANSDUCTIVE),
        PAPER_MAML,
        test_steps=3,
        seconds=LONG,
        validations=OFTEN,
        papers={"5w1s": "98.7 +- 0.4 (Finn et al. 2017)", "5w5s": "99.9", "20w1s": "95.8", "20w5s": "98.9"},
        targets={"5w1s": 98.0},
    ),
    "maml_support": Method(
        "MAML, Conv4-32",
        lambda at: qs.MAML(half(at.ways), inner_lr=0.4),
        PAPER_MAML,
        test_steps=3,
        seconds=LONG,
        validations=OFTEN,
        papers={"5w1s": "none published for this policy"},
        targets={"5w1s": 96.0},
    ),
    "fomaml": Method(
        "FOMAML",
        lambda at: qs.FOMAML(half(at.ways), inner_lr=0.1, inner_steps=3, **TRANSDUCTIVE),
        DESCENDS,
        papers={"5w1s": "98.3 +- 0.5 (Nichol et al. 2018)", "5w5s": "99.2", "20w1s": "89.4", "20w5s": "97.9"},
    ),
    "anil": Method(
        "ANIL",
        lambda at: qs.ANIL(half(at.ways), inner_lr=0.1 if at.ways == 5 else 1.0, inner_steps=5, **TRANSDUCTIVE),
        DESCENDS,
        papers={"5w1s": "none for 5-way", "20w1s": "96.2", "20w5s": "98.0"},
    ),
    "metasgd": Method(
        "Meta-SGD",
        lambda at: qs.MetaSGD(half(at.ways), inner_lr=0.4, **TRANSDUCTIVE),
        DESCENDS,
        papers={"5w1s": "99.53 +- 0.26 (Li et al. 2017)", "5w5s": "99.93", "20w1s": "95.93", "20w5s": "98.97"},
    ),
    "reptile": Method(
        "Reptile",
        lambda at: qs.Reptile(half(at.ways), inner_lr=1e-3, inner_steps=5, **TRANSDUCTIVE),
        {"shots": 10, "queries": 1, "tasks_per_step": 5},
        outer=reptile_outer,
        test_steps=50,
        papers={"5w1s": "97.68 +- 0.04 (Nichol et al. 2018, transductive)", "5w5s": "99.48", "20w1s": "89.43", "20w5s": "97.12"},
    ),
    "imaml": Method(
        "iMAML",
        lambda at: qs.IMAML(half(at.ways), inner_lr=0.1, inner_steps=16, proximal_weight=2.0, **TRANSDUCTIVE),
        {"queries": 5, "tasks_per_step": 4},
        papers={"5w1s": "99.16 +- 0.35 (Rajeswaran et al. 2019, gradient descent)", "20w1s": "94.46"},
    ),
    "matching": Method(
        "Matching network, temperature 0.1",
        lambda at: qs.MatchingNetwork(conv4(), temperature=0.1),
        COMPARES,
        any_ways=True,
        papers={"5w1s": "98.1", "5w5s": "98.9", "20w1s": "93.8", "20w5s": "98.5"},
        targets={"5w1s": 97.0},
    ),
    "matching_context": Method(
        "Matching network, full context",
        lambda at: qs.MatchingNetwork(conv4(), FullContext(64), temperature=0.1),
        {"ways": 10, "queries": 3, "tasks_per_step": 4},
        any_ways=True,
    ),
    "relation": Method(
        "Relation network, 32 channels",
        lambda at: qs.RelationNetwork(qs.models.conv4(channels=32, pooled=2, maps=True), qs.models.relation_head(32)),
        {"queries": 5, "tasks_per_step": 4},
        any_ways=True,
        papers={"5w1s": "99.6 +- 0.2", "5w5s": "99.8", "20w1s": "97.6", "20w5s": "99.1"},
        targets={"5w1s": 96.5},
    ),
    "scaled": Method(
        "Prototypical, learned scale (TADAM's)",
        lambda at: qs.LearnedMetric(conv4(), ScaledDistance()),
        COMPARES,
        any_ways=True,
    ),
    "mahalanobis": Method(
        "Prototypical, learned Mahalanobis metric",
        lambda at: qs.LearnedMetric(conv4(), Mahalanobis(64)),
        COMPARES,
        any_ways=True,
    ),
    "feat": Method("FEAT", lambda at: qs.FEAT(conv4()), COMPARES, any_ways=True),
    "r2d2": Method(
        "R2-D2",
        lambda at: qs.R2D2(conv4()),
        COMPARES,
        any_ways=True,
        papers={"5w1s": "98.6", "5w5s": "99.7", "20w1s": "94.7", "20w5s": "98.9"},
        targets={"5w1s": 97.5},
    ),
    "lr_d2": Method("LR-D2", lambda at: qs.LRD2(conv4()), COMPARES, any_ways=True),
    "metaoptnet": Method(
        "MetaOptNet-SVM",
        lambda at: qs.MetaOptNet(conv4()),
        {"ways": 10, "queries": 5, "tasks_per_step": 4},
        any_ways=True,
        targets={"5w1s": 97.5},
    ),
    "proto_maml": Method(
        "Proto-MAML",
        lambda at: qs.ProtoMAML(qs.models.conv4(channels=32), inner_lr=0.01, **TRANSDUCTIVE),
        DESCENDS,
        any_ways=True,
    ),
    "maml_plus_plus": Method(
        "MAML++, Conv4-32, ensemble of the 5 best checkpoints",
        lambda at: qs.MAMLPlusPlus(half(at.ways), steps=at.steps, inner_lr=0.1, inner_steps=5, **TRANSDUCTIVE),
        PAPER_MAML,
        outer=own,
        seconds=LONG,
        keep=5,
        papers={"5w1s": "99.47 (ensemble of 5)", "5w5s": "99.93", "20w1s": "97.65", "20w5s": "99.33"},
        targets={"5w1s": 98.5},
    ),
    "boil": Method("BOIL", lambda at: qs.BOIL(half(at.ways), inner_lr=0.5, **TRANSDUCTIVE), PAPER_MAML),
    "cavia": Method(
        "CAVIA",
        lambda at: qs.CAVIA(qs.models.ContextConv4(at.ways, channels=32), inner_lr=1.0, inner_steps=2, **TRANSDUCTIVE),
        PAPER_MAML,
    ),
    "meta_curvature": Method(
        "Meta-Curvature", lambda at: qs.MetaCurvature(half(at.ways), inner_lr=0.4, **TRANSDUCTIVE), PAPER_MAML
    ),
    "meta_lstm": Method(
        "Meta-LSTM",
        lambda at: qs.MetaLSTM(half(at.ways), inner_steps=5, inner_lr=0.1, **TRANSDUCTIVE),
        PAPER_MAML,
    ),
    "leo": Method(
        "LEO, on frozen features of Conv4",
        lambda at: qs.LEO(conv4(), features=64),
        {"queries": 5, "tasks_per_step": 8},
        any_ways=True,
        executor="vmap",
        frozen=UnitLength(),
    ),
    "leo_end_to_end": Method(
        "LEO, whose embedding begins at random",
        lambda at: qs.LEO(conv4(), features=64),
        {"queries": 5, "tasks_per_step": 8},
        any_ways=True,
    ),
    "snail": Method(
        "SNAIL, on frozen features of Conv4",
        lambda at: qs.SNAIL(conv4(), 64, max_ways=at.ways, length=at.ways * at.shots + 1),
        {"queries": 3, "tasks_per_step": 16},
        executor="vmap",
        frozen=torch.nn.Identity(),
        papers={"5w1s": "99.07 +- 0.16", "5w5s": "99.78", "20w1s": "97.64", "20w5s": "99.36"},
        targets={"5w1s": 90.0},
    ),
    "snail_end_to_end": Method(
        "SNAIL, on three blocks of 32 channels at half size",
        lambda at: qs.SNAIL(half_size(), 32, max_ways=at.ways, length=at.ways * at.shots + 1),
        {"queries": 3, "tasks_per_step": 16},
        executor="vmap",
    ),
    "mann": Method(
        "MANN, feed-forward, trained as it is tested, on frozen features of three blocks of 32 channels",
        lambda at: qs.MANN(half_size(), 32, max_ways=at.ways, recurrent=False, sequence=False),
        {"queries": 5, "tasks_per_step": 16},
        executor="vmap",
        frozen=torch.nn.Identity(),
        papers={"5w1s": "82.8 (second instance)", "5w5s": "94.9 (fifth)"},
        targets={"5w1s": 80.0},
    ),
    "mann_end_to_end": Method(
        "MANN, trained as it is tested, on three blocks of 32 channels at half size",
        lambda at: qs.MANN(half_size(), 32, max_ways=at.ways, sequence=False),
        {"queries": 5, "tasks_per_step": 16},
        executor="vmap",
    ),
    "neural_process": Method(
        "Conditional neural process",
        lambda at: qs.NeuralProcessClassifier(conv4(), 64),
        COMPARES,
        any_ways=True,
        papers={"5w1s": "95.3", "5w5s": "98.5", "20w1s": "89.9", "20w5s": "96.8"},
    ),
    "hypernetwork": Method("Hypernetwork", lambda at: qs.Hypernetwork(conv4(), 64), COMPARES, any_ways=True),
    "in_context": Method(
        "In-context transformer, on three blocks of 32 channels at half size",
        lambda at: qs.InContext(half_size(), features=32, max_ways=at.ways, depth=2),
        {"queries": 5, "tasks_per_step": 16},
        executor="vmap",
    ),
}
CONTROL: Any = {"train": {"tasks_per_step": 1}, "outer": own, "validations": 3}  # a validation fine-tunes in a hundred tasks
CONTROLS: dict[str, Method] = {
    "baseline_plus_plus": Method("Baseline++", lambda at: qs.BaselinePlusPlus(conv4()), any_ways=True, **CONTROL),
    "from_scratch": Method("From scratch", lambda at: qs.FromScratch(half(at.ways)), **CONTROL),
    "pretrain": Method("Pre-train + fine-tune", lambda at: qs.PretrainFineTune(conv4()), any_ways=True, **CONTROL),
    "contrastive": Method("SimCLR + fine-tune", lambda at: qs.ContrastivePretrain(conv4()), **CONTROL),
    "linear_probe": Method("Linear probe", lambda at: qs.LinearProbe(conv4()), any_ways=True, **CONTROL),
    "nearest_centroid": Method("Nearest centroid on pixels", lambda at: qs.NearestCentroid(), any_ways=True, **CONTROL),
}


def drawn_to_real(seconds: float, seed: int) -> Result:
    """Meta-trained on drawn characters alone, tested on the 423 real ones on which the generator was not tuned."""
    drawn = qs.tasks.Strokes(classes=(4000, 100, 100), rotations=True, seed=seed)
    tasks = TaskFamily(drawn.train.with_(ways=30, queries=3), drawn.validation, drawn.test)
    trained = timed(lambda steps: qs.Prototypical(conv4()), tasks, seconds, seed, tasks_per_step=2)
    return scored(trained, omniglot(PROTOCOLS[FIRST], split=HELD_OUT).test, seed)


DRAWN = "drawn_to_real_prototypical"
WITHIN = ("prototypical", "maml_support", "matching", "relation", "r2d2", "lr_d2", "metaoptnet", "proto_maml", *CONTROLS)


def entries() -> dict[str, Entry]:
    """5-way 1-shot of all; some within an alphabet; the other protocols of those whose training fixes ways or shots."""
    everything = METHODS | CONTROLS
    made = {f"omniglot_{FIRST}_{name}": method.entry(FIRST) for name, method in everything.items()}
    made[DRAWN] = Entry("Prototypical, Strokes to real Omniglot", drawn_to_real, FULL, "none", 95.0)
    made |= {f"omniglot_{HARD}_{name}": everything[name].entry(HARD) for name in WITHIN}
    for name, method in everything.items():
        if not method.any_ways or name in ("prototypical", "relation"):
            made |= {f"omniglot_{protocol}_{name}": method.entry(protocol) for protocol in ("5w5s", "20w1s", "20w5s")}
    return made


ENTRIES = entries()
