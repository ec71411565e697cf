"""The learners of tune/ whose phi is a part of a training: cases of the checks, as in `tests.checks.learners`."""

from __future__ import annotations

import torch
from tests.checks.learners import FEATURES, WAYS, Case, case, network, stirred, targets
from torch import nn

import quickstudy as qs
from quickstudy.learners.bilevel.augmentation_policy import AugmentationPolicy
from quickstudy.learners.bilevel.example_weights import LearningToReweight, MetaWeightNet
from quickstudy.learners.bilevel.hyperparameters import ConcreteDropout, LabelSmoothing, Schedule, WeightDecay
from quickstudy.learners.bilevel.learned_loss import LearnedLoss
from quickstudy.learners.bilevel.learned_mlp_rule import MLPRule
from quickstudy.learners.bilevel.learned_momentum import LearnedMomentum
from quickstudy.learners.bilevel.learned_rule import LSTMRule
from quickstudy.learners.bilevel.learned_training import LearnedTraining
from quickstudy.learners.descend import Adam, LearnedRates, Momentum


def training(steps: int = 2, student: nn.Module | None = None, **parts: object) -> qs.Learner:
    return stirred(LearnedTraining(student or network(), steps=steps, **parts))  # type: ignore[arg-type]


def dropped() -> nn.Module:
    """A foreign student with a dropout and a layer norm."""
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, WAYS))


def images() -> qs.Episode:
    """3-way 3-shot of 2 x 6 x 5."""
    draw = lambda n: qs.Examples(torch.randn(WAYS * n, 2, 6, 5), torch.arange(WAYS).repeat(n), WAYS)
    return qs.Episode(draw(3), draw(2))


def names() -> list[str]:
    return [name for name, _ in network().named_parameters()]


def everything() -> qs.Learner:
    """Start, rates, momenta, weights, decays, loss and dropout at once: one phi."""
    return training(
        student=dropped(),
        learned_start=True,
        rule=Momentum(),
        inner_lr=LearnedRates(0.2, per="tensor"),
        weights=MetaWeightNet(4),
        decay=WeightDecay(0.01),
        loss=LearnedLoss(4),
        dropout=ConcreteDropout(0.3),
    )


CASES: dict[str, Case] = {
    "LSTM rule": case(lambda: training(rule=LSTMRule(4))),
    "LSTM rule, gradients kept": case(lambda: training(rule=LSTMRule(4, 1, keep_gradients=True))),
    "LSTM rule, minibatches": case(lambda: training(rule=LSTMRule(4), batch_size=4)),
    "LSTM rule, targets": case(lambda: training(student=network(1), rule=LSTMRule(4)), targets),
    "MLP rule": case(lambda: training(rule=MLPRule(4))),
    "MLP rule, gradients kept": case(lambda: training(rule=MLPRule(4, decays=(0.5, 0.9), keep_gradients=True))),
    "learned momentum": case(lambda: training(rule=LearnedMomentum(names()), steps=3)),
    "learned rates, Adam": case(lambda: training(rule=Adam(), inner_lr=LearnedRates(0.05))),
    "learned start": case(lambda: training(learned_start=True)),
    "Meta-Weight-Net": case(lambda: training(weights=MetaWeightNet(5))),
    "Meta-Weight-Net, normalised": case(lambda: training(weights=MetaWeightNet(5, normalised=True), student=dropped())),
    "Meta-Weight-Net, class by class": case(lambda: training(weights=MetaWeightNet(5, classes=WAYS))),
    "Meta-Weight-Net, targets": case(lambda: training(student=network(1), weights=MetaWeightNet(5)), targets),
    "learning to reweight": case(lambda: LearningToReweight(network(), trusted=2, steps=3)),
    "learning to reweight, minibatches": case(
        lambda: LearningToReweight(network(), trusted=2, steps=2, batch_size=2, trusted_batch_size=1)
    ),
    "augmentation": case(lambda: training(student=qs.models.mlp(60, WAYS, (8,)), augmentation=AugmentationPolicy()), images),
    "augmentation, hard": case(
        lambda: training(student=qs.models.mlp(60, WAYS, (8,)), augmentation=AugmentationPolicy(stages=2, hard=True)), images
    ),
    "weight decays": case(lambda: training(decay=WeightDecay(0.1, per="element"))),
    "schedule": case(lambda: training(inner_lr=Schedule(0.3, steps=3, knots=2), steps=3)),
    "label smoothing": case(lambda: training(loss=LabelSmoothing())),
    "concrete dropout": case(lambda: training(student=dropped(), dropout=ConcreteDropout())),
    "learned loss": case(lambda: training(loss=LearnedLoss(4))),
    "learned loss, targets": case(lambda: training(student=network(1), loss=LearnedLoss(4, plain=0.0)), targets),
    "everything at once": case(everything),
}
