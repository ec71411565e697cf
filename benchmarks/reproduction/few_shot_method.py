"""A few-shot method on Omniglot: how it is meta-trained, and scored under each protocol.

An entry meta-trains once under its protocol and is scored there. A learner that takes any number of classes is scored under the
other protocols of the same split too, as it is: numbers of one training, not of one matched to each.
Real Omniglot is looked for in $OMNIGLOT, else ../shared/data/omniglot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

import quickstudy as qs
from benchmarks.reproduction import entry
from benchmarks.reproduction.entry import EXECUTOR, SHORT, Entry, Outer, Result, Trained, gradient, scored
from quickstudy.tasks import LabelledTasks, TaskFamily


class Protocol(NamedTuple):
    """What a task is: its classes are any of the split, or all of one drawer's alphabet."""

    ways: int
    shots: int
    queries: int = 5
    episodes: int = 200
    split: str = "random"
    within: str | None = None


PROTOCOLS = {
    "5w1s": Protocol(5, 1, queries=15, episodes=600),
    "5w5s": Protocol(5, 5),
    "20w1s": Protocol(20, 1),
    "20w5s": Protocol(20, 5),
    "within20w1s": Protocol(20, 1, episodes=400, split="alphabet", within="alphabet"),
    "within5w1s": Protocol(5, 1, episodes=400, split="alphabet", within="alphabet"),
}
FIRST, HARD = "5w1s", "within20w1s"


class Setting(NamedTuple):
    """What a learner is built for."""

    ways: int
    shots: int
    steps: int  # of the meta-training


Build = Callable[[Setting], qs.Learner]


def omniglot(
    protocol: Protocol, train: dict[str, int] | None = None, split: str | None = None, size: int = 28
) -> TaskFamily[LabelledTasks]:
    """Real Omniglot under a protocol; meta-training under `train` where that differs."""
    root = os.environ.get("OMNIGLOT", str(Path(__file__).resolve().parents[3] / "shared" / "data" / "omniglot"))
    ways, shots, queries, _, published, within = protocol
    sizes: Any = {"ways": ways, "shots": shots, "queries": queries, "size": size}
    family = qs.tasks.Omniglot(root, split=split or published, within=within, **sizes)
    sizes = train or {}
    return TaskFamily(family.train.with_(**sizes), family.validation, family.test)


@dataclass(frozen=True)
class Method:
    """A learner, how it is meta-trained, what its paper says, and what it must reach.

    Args:
        build: the learner for so many ways, shots and meta-steps.
        train: the protocol of meta-training where it is not that of the test, and tasks_per_step.
        any_ways: one learner serves any number of classes and shots.
        outer: its outer method for so many meta-steps: Adam with a rate that falls to 0, or the learner's `own`.
        executor: of meta-training.
        test_steps: inner steps at the test.
        seconds: of meta-training where nobody says.
        frozen: the embedding is trained as a prototypical network's for half of the time, and the rest of the learner then on its
            features, through this module.
        keep: so many of the best checkpoints are scored together.
        validations: so often it is scored on meta-validation tasks.
        papers, targets: by protocol.
    """

    title: str
    build: Build
    train: dict[str, int]
    any_ways: bool = False
    outer: Outer = gradient
    executor: str = EXECUTOR
    test_steps: int | None = None
    seconds: float = SHORT
    frozen: torch.nn.Module | None = None
    keep: int = 1
    validations: int = entry.VALIDATIONS
    papers: dict[str, str] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its title, and whether batch norm reads the query's own statistics."""
        return self.title + (", transductive" if self.build(Setting(5, 1, 100)).normalisation == "transductive" else "")

    def entry(self, name: str) -> Entry:
        """The row of this method under a protocol."""
        seconds = self.seconds if name == FIRST else SHORT
        return Entry(self.title, partial(self.run, name), seconds, self.papers.get(name, "none known"), self.targets.get(name))

    def run(self, name: str, seconds: float, seed: int) -> Result:
        """Train, and score on meta-test tasks."""
        protocol = PROTOCOLS[name]
        trained, tasks = self.trained(name, seconds, seed)
        result = scored(trained, tasks.test, seed, inner_steps=self.test_steps, episodes=protocol.episodes)
        others = {}
        for other, asked in PROTOCOLS.items():
            if self.any_ways and other != name and asked[4:] == protocol[4:]:
                test = tasks.test.with_(ways=asked.ways, shots=asked.shots, queries=asked.queries)
                found = qs.evaluate(trained.learner, test, asked.episodes, seed, self.test_steps)
                others[other] = {"mean": 100 * found.mean, "ci95": 100 * found.ci95, "protocol": found.protocol}
        return {**result, "others": others}

    def trained(self, name: str, seconds: float, seed: int, steps: int | None = None) -> tuple[Trained, TaskFamily]:
        """Train for so many seconds of one core, or so many steps, and give the tasks as the learner sees them."""
        ways, shots = PROTOCOLS[name][:2]
        train = dict(self.train)
        tasks_per_step = train.pop("tasks_per_step", 8)
        if PROTOCOLS[name].within:
            train.pop("ways", None)  # more of them would leave out most alphabets
        if ways > 5 and "ways" not in train:  # four times the images in a task
            tasks_per_step = max(tasks_per_step // 4, 1)
        tasks = omniglot(PROTOCOLS[name], {"shots": shots, **train})
        embed: torch.nn.Module | None = None
        if self.frozen is not None:
            seconds /= 2
            network: Any = self.build(Setting(ways, shots, 1)).embed
            tasks = features(network, tasks, seconds, seed)
            embed = self.frozen

        def make(steps: int) -> qs.Learner:
            learner = self.build(Setting(ways, shots, steps))
            if embed is not None:
                learner.embed = embed
            return learner

        options: Any = {"outer": self.outer, "validations": self.validations}
        options |= {"tasks_per_step": tasks_per_step, "keep": self.keep, "executor": self.executor}
        if steps is None:
            return entry.timed(make, tasks, seconds, seed, **options), tasks
        return Trained(*entry.meta_trained(make, tasks, steps, seed, **options), float("nan")), tasks


def features(network: torch.nn.Module, tasks: TaskFamily, seconds: float, seed: int) -> TaskFamily:
    """The tasks as a network sees them that is trained first, by distances, and then frozen."""
    compared = TaskFamily(tasks.train.with_(ways=30, queries=3), tasks.validation, tasks.test)
    entry.timed(lambda steps: qs.Prototypical(network), compared, seconds, seed, tasks_per_step=2)
    seen = qs.tasks.from_backbone(tasks, network)
    unit = seen.train.x.std()
    for part in (seen.train, seen.validation, seen.test):
        part.x /= unit  # in units of their deviation over meta-training
    return seen
