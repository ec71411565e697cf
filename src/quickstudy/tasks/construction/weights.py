"""How often each family of a mixture is drawn: by given numbers, by size, or by the progress that a learner makes in it.

    p_f  =  w_f / sum_f' w_f'                   given weights
    p_f  proportional to  n_f^(1 / T)          `BySize(temperature=T)`: n_f the classes, or else the groups, of family f
    p_f  changes in a run                       `ByProgress()`

T = 1 draws a task as its family is large, T -> infinity draws all families alike; T = 5 is common across languages.

Source: Arivazhagan et al., "Massively Multilingual Neural Machine Translation in the Wild", 2019, section 4, for the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from quickstudy.arguments import PositiveFloat, Probability, checked
from quickstudy.errors import ArgumentError

if TYPE_CHECKING:
    from quickstudy.tasks.distribution.interface import TaskDistribution


@checked
@dataclass(frozen=True)
class BySize:
    """Families weighted by the size of their data to the power 1 / temperature.

    Examples:
        >>> [round(one, 3) for one in qs.tasks.BySize(temperature=2.0).probabilities({"a": 400, "b": 100})]
        [0.667, 0.333]
    """

    temperature: PositiveFloat = 1.0

    def probabilities(self, sizes: Mapping[str, int]) -> list[float]:
        """p, in the order of the families."""
        logs = torch.tensor([math.log(size) for size in sizes.values()], dtype=torch.float64) / self.temperature
        return logs.softmax(0).tolist()


@checked
@dataclass(frozen=True)
class ByProgress:
    """Families weighted by how much the learner still gains in them, as meta-validation shows it:

        g_f  =  max(0, L_f(v - 1) - L_f(v)) / | L_f(1) |            L_f(v): loss on the validation tasks of f, the v-th time
        s_f  <- momentum s_f + (1 - momentum) g_f                   s_f = 0 at first
        p_f  =  least / F + (1 - least) s_f / sum_f' s_f'           F families; all alike as long as no s_f is above 0

    A loss that is not finite is no gain. The validation tasks are the same each time, so that their choice is no gain either.

    Args:
        least: the share of the tasks that is spread evenly, so that a family without progress is tried again.
        momentum: of the gains, from one validation to the next.

    Raises:
        ArgumentError: least or momentum outside [0, 1].

    Source: Graves et al., "Automated curriculum learning for neural networks", ICML 2017, section 4 (progress as the reward of a
    curriculum). Differs: they choose by a bandit, Exp3.S, from the progress of single batches; here the share is the progress.

    Examples:
        >>> progress = qs.tasks.ByProgress(least=0.2, momentum=0.0).start(["a", "b"])
        >>> progress.seen({"a": 2.0, "b": 4.0})
        {'a': 0.5, 'b': 0.5}
        >>> progress.seen({"a": 1.0, "b": 4.0})  # a has gained a half, b nothing
        {'a': 0.9, 'b': 0.1}
    """

    least: Probability = 0.25
    momentum: Probability = 0.5

    def start(self, families: Sequence[str]) -> Progress:
        """The state of one run."""
        return Progress(self, dict.fromkeys(families, 0.0))


@dataclass
class Progress:
    """The gains of a run so far, by family."""

    rule: ByProgress
    gains: dict[str, float]
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def seen(self, losses: Mapping[str, float]) -> dict[str, float]:
        """The probabilities after a validation with these losses."""
        if not self.first:
            self.first = dict(losses)
        for name, before in self.last.items():
            gain = max(0.0, before - losses[name]) / max(abs(self.first[name]), TINY)
            gain = gain if math.isfinite(gain) else 0.0
            self.gains[name] = self.rule.momentum * self.gains[name] + (1 - self.rule.momentum) * gain
        self.last = dict(losses)
        return self.probabilities()

    def probabilities(self) -> dict[str, float]:
        """p_f."""
        total, n = sum(self.gains.values()), len(self.gains)
        if total == 0:
            return dict.fromkeys(self.gains, 1 / n)
        return {name: self.rule.least / n + (1 - self.rule.least) * gain / total for name, gain in self.gains.items()}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"gains": dict(self.gains), "first": dict(self.first), "last": dict(self.last)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where `state` left off."""
        self.gains, self.first, self.last = (dict(state[name]) for name in ("gains", "first", "last"))


TINY = 1e-12
Weights = BySize | ByProgress | Sequence[float] | Mapping[str, float] | None


def probabilities(parts: Mapping[str, TaskDistribution], weights: Weights) -> dict[str, float]:
    """p by family.

    Raises:
        ArgumentError: see `Mixture`.
    """
    names = list(parts)
    if weights is None or isinstance(weights, ByProgress):
        return dict.fromkeys(names, 1 / len(names))
    if isinstance(weights, BySize):
        return dict(zip(names, weights.probabilities({name: _size(name, part) for name, part in parts.items()}), strict=True))
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise _weights(f"one for each of {names}", f"names {list(weights)}")
        weights = [weights[name] for name in names]
    if len(weights) != len(names):
        raise _weights(f"{len(names)}, one for each of {names}", str(len(weights)))
    if any(not math.isfinite(one) or one < 0 for one in weights):
        raise _weights("numbers of 0 or more", str(list(weights)))
    total = sum(weights)
    if total == 0:
        raise _weights("a sum above 0", f"{list(weights)}, whose sum is 0")
    return {name: one / total for name, one in zip(names, weights, strict=True)}


def _size(name: str, part: TaskDistribution) -> int:
    found = getattr(part, "class_names", None)
    if not found:
        raise ArgumentError(
            "weights=BySize()",
            expected="families of classes or groups, which can be counted",
            got=f"{name!r}, whose tasks are drawn from no list",
            do="Give a number for each family: weights={'a': 1, 'b': 2}.",
        )
    return len(found)


def _weights(expected: str, got: str) -> ArgumentError:
    return ArgumentError("weights", expected=expected, got=got, do="Give for example weights=(1, 2), or BySize(temperature=2).")
