"""A few-shot method on Omniglot: how it is meta-trained, and scored under the four protocols.

An entry meta-trains once and is scored: over 600 meta-test tasks of 15 queries at 5-way 1-shot, over 200 of 5 under the three
other protocols. A learner that takes any number of classes is scored under those as it is: numbers of one training, not of one
matched to each. The others are trained for each protocol, for three minutes where that is not 5-way 1-shot.
Real Omniglot is looked for in $OMNIGLOT, else ../shared/data/omniglot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

import quickstudy as qs
from benchmarks.reproduction.entry import EPISODES, EXECUTOR, SHORT, Entry, Result, gradient, trained
from quickstudy.tasks import TaskFamily

PROTOCOLS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1), "20w5s": (20, 5)}
FIRST, QUERIES = "5w1s", 15
OTHER_EPISODES, OTHER_QUERIES = 200, 5


class Setting(NamedTuple):
    """What a learner is built for."""

    ways: int
    shots: int
    steps: int  # of the meta-training


Build = Callable[[Setting], qs.Learner]


def omniglot(
    split: str = "random", ways: int = 5, shots: int = 1, queries: int = QUERIES, train: dict[str, int] | None = None
) -> TaskFamily:
    """Real Omniglot, so many queries at validation and test; meta-training under `train`."""
    root = os.environ.get("OMNIGLOT", str(Path(__file__).resolve().parents[3] / "shared" / "data" / "omniglot"))
    family = qs.tasks.Omniglot(root, ways=ways, shots=shots, queries=queries, split=split)
    return TaskFamily(family.train.with_(**(train or {})), family.validation, family.test)


@dataclass(frozen=True)
class Method:
    """A learner, how it is meta-trained, what its paper says, and what it must reach.

    Args:
        build: the learner for so many ways, shots and meta-steps.
        train: the protocol of meta-training where it is not that of the test, and tasks_per_step.
        any_ways: one learner serves any number of classes and shots.
        outer: its outer method for so many meta-steps: Adam with a rate that falls to 0, or the learner's `own`.
        executor: of meta-training.
        frozen: the embedding is trained as a prototypical network's for half of the time, and the rest of the learner then on its
            features, through this module.
        keep: so many of the best checkpoints are scored together.
        papers, targets: by protocol.
        why: it may stand below a pre-trained network that is fine-tuned, within our time.
    """

    title: str
    build: Build
    train: dict[str, int]
    any_ways: bool = False
    outer: Callable[[int], qs.Gradient | None] = gradient
    executor: str = EXECUTOR
    test_steps: int | None = None
    seconds: float = SHORT
    frozen: torch.nn.Module | None = None
    keep: int = 1
    papers: dict[str, str] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    why: str = ""

    def entry(self, protocol: str) -> Entry:
        """The row of this method under a protocol."""
        ways, shots = PROTOCOLS[protocol]
        paper, seconds = self.papers.get(protocol, "none known"), self.seconds if protocol == FIRST else SHORT
        return Entry(self.title, partial(self.run, protocol, ways, shots), seconds, paper, self.targets.get(protocol))

    def run(self, protocol: str, ways: int, shots: int, seconds: float, seed: int) -> Result:
        """Train and score."""
        train = dict(self.train)
        tasks_per_step = train.pop("tasks_per_step", 8)
        if ways > 5 and "ways" not in train:  # four times the images in a task
            tasks_per_step = max(tasks_per_step // 4, 1)
        queries, episodes = (QUERIES, EPISODES) if protocol == FIRST else (OTHER_QUERIES, OTHER_EPISODES)
        tasks = omniglot(ways=ways, shots=shots, queries=queries, train={"shots": shots, **train})
        embed: torch.nn.Module | None = None
        if self.frozen is not None:
            seconds /= 2
            tasks = features(self.build(Setting(ways, shots, 1)).embed, tasks, seconds, seed)
            embed = self.frozen

        def make(steps: int) -> qs.Learner:
            learner = self.build(Setting(ways, shots, steps))
            if embed is not None:
                learner.embed = embed
            return learner

        result, learner = trained(
            make,
            tasks,
            seconds,
            seed,
            outer=self.outer,
            inner_steps=self.test_steps,
            episodes=episodes,
            tasks_per_step=tasks_per_step,
            keep=self.keep,
            executor=self.executor,
        )
        others = {}
        for other, (other_ways, other_shots) in PROTOCOLS.items():
            if other != protocol and self.any_ways:
                test = tasks.test.with_(ways=other_ways, shots=other_shots, queries=OTHER_QUERIES)
                found = qs.evaluate(learner, test, OTHER_EPISODES, seed, self.test_steps)
                others[other] = {"mean": 100 * found.mean, "ci95": 100 * found.ci95, "protocol": found.protocol}
        return {**result, "others": others}


def features(network: torch.nn.Module, tasks: TaskFamily, seconds: float, seed: int) -> TaskFamily:
    """The tasks as a network sees them that is trained first, by distances, and then frozen."""
    compared = TaskFamily(tasks.train.with_(ways=30, queries=3), tasks.validation, tasks.test)
    result, _ = trained(lambda steps: qs.Prototypical(network), compared, seconds, seed, tasks_per_step=2)
    print(f"embedding: {result['mean']:.2f} +- {result['ci95']:.2f} % by distance, {result['steps']} steps")
    seen = qs.tasks.from_backbone(tasks, network)
    unit = seen.train.x.std()
    for part in (seen.train, seen.validation, seen.test):
        part.x /= unit  # in units of their deviation over meta-training
    return seen
