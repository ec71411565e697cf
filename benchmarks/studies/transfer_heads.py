"""What a study puts on features that were computed once: each head as a learner, and the control on pixels.

A frozen network and its head are scored as `evaluate` scores any learner, on episodes of a seed: all heads see the same tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

import quickstudy as qs
from benchmarks.studies.study import Interval, Result, interval
from quickstudy.learners.solve import LogisticHead, RidgeHead
from quickstudy.learners.solve.newton import logistic_regression
from quickstudy.learners.transfer import CosineClassifier, FineTune

SHOTS, EPISODES = (1, 5), 600
CENTROID, RIDGE, LOGISTIC, TUNED = "centroid", "ridge", "logistic", "fine-tuning"
HEADS = (CENTROID, RIDGE, LOGISTIC, TUNED)
PIXELS = ("centroid of the pixels", "logistic regression on pixels")
RATES, STEPS = (0.0005, 0.005), (5, 15)  # of fine-tuning, chosen on meta-validation tasks


class SoftmaxRegression(qs.Learner):
    """Multinomial logistic regression with scikit-learn's default penalty, C = 1, without an intercept."""

    meta_learns = False

    def learn(self, support: qs.Examples) -> dict[str, Tensor]:
        """The weights (ways, features), in float64."""
        return {"weights": logistic_regression(support.x.flatten(1).double(), support.y, support.ways or 0, 1.0, 15)}

    def predict(self, state: Mapping[str, Tensor], x: Any) -> Tensor:
        """Logits (examples, ways)."""
        return (x.flatten(1).double() @ state["weights"].T).to(x.dtype)


def closed() -> dict[str, qs.Learner]:
    """The heads in closed form, on features."""
    features = nn.Identity
    return {
        CENTROID: qs.Prototypical(features()),
        RIDGE: RidgeHead(features()),
        LOGISTIC: LogisticHead(features()),
    }


def pixels() -> dict[str, qs.Learner]:
    """The controls, on pixels."""
    return dict(zip(PIXELS, (qs.NearestCentroid(), SoftmaxRegression()), strict=True))


def tuned(embed: nn.Module, rate: float, steps: int) -> FineTune:
    """All of `embed`, and a head imprinted from the support, by steps of Adam."""
    return FineTune(embed, CosineClassifier(), inner_lr=rate, inner_steps=steps)


def chosen_tuning(embed: nn.Module, validation: Sequence[Any], shots: int, episodes: int = 60) -> tuple[float, int]:
    """The rate and the number of steps with the best mean accuracy on meta-validation tasks."""

    def score(setting: tuple[float, int]) -> float:
        learner = tuned(embed, *setting)
        return sum(qs.evaluate(learner, tasks.with_(shots=shots), episodes, executor="vmap").mean for tasks in validation)

    return max(product(RATES, STEPS), key=score)


def scored(learners: Mapping[str, qs.Learner], tasks: Any, seed: int, episodes: int = EPISODES) -> dict[str, list[float]]:
    """The accuracy of each learner in every episode, in per cent."""
    return {
        name: [100 * one for one in qs.evaluate(learner, tasks, episodes, seed, executor="vmap").per_episode]
        for name, learner in learners.items()
    }


def summed(values: Sequence[float]) -> Result:
    """Mean, and half of the 95 % interval over tasks."""
    x = torch.tensor(values, dtype=torch.float64)
    return {"mean": float(x.mean()), "ci95": 1.96 * float(x.std()) / len(x) ** 0.5}


def over_seeds(found: Sequence[Result]) -> Interval:
    """Mean, and half of the 95 % interval over seeds; of one seed, over its tasks."""
    return interval([one["mean"] for one in found]) if len(found) > 1 else [found[0]["mean"], found[0]["ci95"]]
