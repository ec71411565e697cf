"""Searches over choices: regularised evolution and random search."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quickstudy.arguments import PositiveInt, checked
from quickstudy.errors import ArgumentError, UnsupportedError
from quickstudy.meta.estimator import Estimator
from quickstudy.meta.estimators.evolution import answer_of, evaluated, scored
from quickstudy.meta.estimators.values import Values
from quickstudy.meta.outer.outer import Outer, RunningSearch
from quickstudy.meta.problem import Answer, Problem

CERTAIN = 40.0  # a logit that makes the softmax one-hot in float32
Setting = tuple[int, ...]


@checked
@dataclass(frozen=True)
class RegularisedEvolution(Outer):
    """A population in which the oldest dies: each child mutates the best of a few members picked at random.

        parent   =  the best of `sample` members picked at random                                                 (1)
        child    =  parent with one choice drawn again;   scored;   added as the youngest                         (2)
        the oldest member is removed, however good                                                                (3)

    phi holds `Choice`s and nothing else: a setting is written as logits with a one-hot softmax. Each outer step scores `children`
    settings, all on the same tasks. phi is left at the best setting so far, by its mean score.

    Args:
        population: members. The first ones are drawn at random.
        sample: members picked in (1). As many as the population: greedy; 1: no selection.
        children: settings scored in an outer step.
        seed: seeds every draw.

    Raises:
        ArgumentError: a population below 1, a sample below 1 or above the population, children below 1.
        UnsupportedError: phi has other parameters than the logits of choices, or none.

    Source: Real, Aggarwal, Huang & Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, algorithm 1.

    Examples:
        >>> from quickstudy.meta.searches import RegularisedEvolution
        >>> network = qs.models.Mixed([torch.nn.Linear(4, 1), torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.ReLU())])
        >>> learner, tasks, outer = qs.Architecture(network, steps=10), qs.tasks.Quadratic(), RegularisedEvolution()
        >>> run = qs.meta_train(learner, tasks.train, steps=3, tasks_per_step=2, outer=outer, executor="vmap", progress=False)
        >>> learner.architecture  # the tasks are linear: option 0, without the ReLU
        (0,)
    """

    population: PositiveInt = 16
    sample: int = 4
    children: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("population", "children"):
            if getattr(self, name) < 1:
                raise ArgumentError(name, expected="1 or more", got=str(getattr(self, name)), do="16 members, 4 children.")
        if not 1 <= self.sample <= self.population:
            raise ArgumentError(
                "sample",
                expected=f"1 to {self.population}, the population",
                got=str(self.sample),
                do="A quarter is common.",
            )

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """Values of the outer loss."""
        return Values()

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningSearch:
        return _Evolving(parameters, self.children, self.seed, self.population, self.sample)


@checked
@dataclass(frozen=True)
class RandomSearch(Outer):
    """Draw settings at random and keep the best: the baseline that every search over choices must beat.

    Args:
        children: settings scored in an outer step.
        seed: seeds the draws.

    Raises:
        ArgumentError: children below 1.
        UnsupportedError: phi has other parameters than the logits of choices, or none.

    Source: Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.

    Examples:
        >>> from quickstudy.meta.searches import RandomSearch
        >>> network = qs.models.Mixed([torch.nn.Linear(4, 1), torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.ReLU())])
        >>> learner, tasks, outer = qs.Architecture(network, steps=10), qs.tasks.Quadratic(), RandomSearch()
        >>> run = qs.meta_train(learner, tasks.train, steps=3, tasks_per_step=2, outer=outer, executor="vmap", progress=False)
        >>> learner.architecture  # the tasks are linear: option 0, without the ReLU
        (0,)
    """

    children: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.children < 1:
            raise ArgumentError("children", expected="1 or more", got=str(self.children), do="4 at a time.")

    @property
    def estimator(self) -> Estimator:  # type: ignore[override]
        """Values of the outer loss."""
        return Values()

    def start(self, parameters: dict[str, nn.Parameter]) -> RunningSearch:
        return _RunningSearch(parameters, self.children, self.seed)


class _RunningSearch(RunningSearch):
    """A running `RandomSearch`."""

    def __init__(self, parameters: dict[str, nn.Parameter], children: int, seed: int):
        other = [name for name in parameters if name.split(".")[-1] != "logits"]
        if other or not parameters:
            raise UnsupportedError(
                "outer",
                expected="a phi of choices, the logits of `Choice(n)`" if parameters else "a space to search: a `Choice(n)`",
                got=f"other parameters in it: {other[:3]}" if parameters else "none",
                do="Use Gradient(Evolution()) or CMAES(), which take any phi; or freeze the rest with requires_grad_(False).",
            )
        self.parameters, self.children = parameters, children
        self.sizes = [parameter.numel() for parameter in parameters.values()]
        self.generator = torch.Generator().manual_seed(seed)
        self.seen: dict[Setting, list[float]] = {}  # every score of every setting

    def search(self, executor: Any, problem: Problem, episodes: Any, seeds: Tensor) -> Answer:
        settings = [self.proposal() for _ in range(self.children)]
        members = {
            name: torch.stack([logits(setting[edge], parameter) for setting in settings])
            for edge, (name, parameter) in enumerate(self.parameters.items())
        }
        outcome = evaluated(executor, problem, members, episodes, seeds)
        scores = scored(outcome.loss).mean(1).tolist()
        for setting, score in zip(settings, scores, strict=True):
            self.seen.setdefault(setting, []).append(score)
            self.told(setting, score)
        best = min(self.seen, key=lambda setting: sum(self.seen[setting]) / len(self.seen[setting]))
        with torch.no_grad():
            for edge, parameter in enumerate(self.parameters.values()):
                parameter.copy_(logits(best[edge], parameter))
        first = min(range(len(settings)), key=lambda i: scores[i])
        return answer_of(outcome, first, {})

    def proposal(self) -> Setting:
        """The next setting to score."""
        return tuple(int(torch.randint(n, (), generator=self.generator)) for n in self.sizes)

    def told(self, setting: Setting, score: float) -> None:
        """Take note of a setting's score."""

    def state_dict(self) -> dict[str, Any]:
        seen = [[list(setting), scores] for setting, scores in self.seen.items()]
        return {"generator": self.generator.get_state(), "seen": seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.seen = {tuple(setting): list(scores) for setting, scores in state["seen"]}


class _Evolving(_RunningSearch):
    """A running `RegularisedEvolution`."""

    def __init__(self, parameters: dict[str, nn.Parameter], children: int, seed: int, population: PositiveInt, sample: int):
        super().__init__(parameters, children, seed)
        self.population, self.sample = population, sample
        self.members: deque[tuple[Setting, float]] = deque(maxlen=population)  # (3) the oldest falls out

    def proposal(self) -> Setting:
        if len(self.members) < self.population:
            return super().proposal()
        picked = torch.randperm(len(self.members), generator=self.generator)[: self.sample].tolist()
        parent, _ = min((self.members[i] for i in picked), key=lambda member: member[1])  # (1)
        edge = int(torch.randint(len(self.sizes), (), generator=self.generator))
        other = int(torch.randint(max(self.sizes[edge] - 1, 1), (), generator=self.generator))
        drawn = (other + (other >= parent[edge])) % self.sizes[edge]
        return (*parent[:edge], drawn, *parent[edge + 1 :])  # (2)

    def told(self, setting: Setting, score: float) -> None:
        self.members.append((setting, score))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "members": [[list(setting), score] for setting, score in self.members]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.members = deque(((tuple(s), score) for s, score in state["members"]), maxlen=self.population)


def logits(option: int, like: Tensor) -> Tensor:
    """Logits (n,) with a softmax that is one-hot at `option`."""
    return torch.where(torch.arange(like.numel(), device=like.device) == option, CERTAIN, 0.0).to(like)
