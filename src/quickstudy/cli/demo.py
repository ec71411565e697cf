"""quickstudy demo: meta-training on characters that quickstudy draws, compared with the controls.

OUT/NAME/          each meta-trained learner, saved when its training ends
OUT/scores.json    the scores so far
OUT/report.html    of Prototypical, with all others as its controls
"""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from quickstudy.cli.options import command, read, whole
from quickstudy.cli.terminal import has_display
from quickstudy.evaluation import Evaluation
from quickstudy.files import write_json
from quickstudy.meta.loop.result import TrainingResult
from quickstudy.randomness import seeded
from quickstudy.report import write_report
from quickstudy.report.write import REPORT
from quickstudy.tasks import TaskFamily

CHANNELS = 32  # of Conv4: half of the usual, so that half a minute of meta-training on two cores is enough
ADAM = partial(torch.optim.Adam, lr=2e-3, fused=True)


def demo(argv: list[str]) -> int:
    """The command."""
    made = command("demo", "Meta-train on drawn characters, and compare with the controls.")
    made.add_argument("--seconds", type=float, default=30.0, help="of meta-training, for each learner")
    made.add_argument("--episodes", type=int, default=200, help="meta-test tasks of each evaluation")
    made.add_argument("--characters", type=int, default=1000, help="drawn characters to meta-train on")
    made.add_argument("--out", type=str, default="runs/demo", help="where learners, scores and the report are saved")
    made.add_argument("--seed", type=int, default=0)
    options = read(made, argv)
    whole("--episodes", options.episodes, least=2)
    with seeded(options.seed):  # initial weights
        shown = _compared(Demo(options))
    print(f"report: {shown}")
    if has_display():
        webbrowser.open(shown.resolve().as_uri())
    return 0


class Demo:
    """The tasks, the scores so far, and the folder that holds them."""

    def __init__(self, options: Any):
        self.options, self.out = options, Path(options.out)
        _say(f"drawing {options.characters + 300} characters, 20 times each ...")
        self.tasks = qs.tasks.Strokes(ways=5, shots=1, queries=15, classes=(options.characters, 100, 200), seed=options.seed)
        self.scores: list[Evaluation] = []

    def train(
        self, learner: qs.Learner, name: str, *, share: float = 1.0, sizes: Mapping[str, Any] | None = None, **more: Any
    ) -> TrainingResult:
        """Meta-train for a share of the time, on tasks of other `sizes` where they are given, and save the learner."""
        tasks = TaskFamily(self.tasks.train.with_(**(sizes or {})), self.tasks.validation, self.tasks.test)
        settings = {"validate_every": 250, "validation_episodes": min(self.options.episodes, 100), **more}
        seconds, seed = share * self.options.seconds, self.options.seed
        result = qs.meta_train(learner, tasks, steps=100_000, seconds=seconds, seed=seed, **settings)
        _say(str(result))
        learner.save(self.out / name)
        return result

    def score(self, learner: qs.Learner, name: str, steps: int | None = None) -> Evaluation:
        """Score a learner, and save all scores so far."""
        _say(f"scoring {name} ...")
        found = qs.evaluate(learner, self.tasks.test, self.options.episodes, self.options.seed, steps)
        found.name = name
        self.scores.append(found)
        write_json(
            self.out / "scores.json",
            [{"name": one.name, "mean": one.mean, "ci95": one.ci95, "protocol": one.protocol} for one in self.scores],
            indent=1,
        )
        return found

    def report(self, learner: qs.Learner, history: Sequence[Mapping[str, Any]], evaluation: Evaluation) -> Path:
        """Write the report of one learner, with the others as its controls."""
        _say("writing the report ...")
        return write_report(
            self.out / REPORT,
            learner=learner,
            tasks=self.tasks,
            history=history,
            evaluation=evaluation,
            controls=[one for one in self.scores if one is not evaluation],
            episodes=min(30, self.options.episodes),
        )


def _compared(demo: Demo) -> Path:
    """Train, score and save; the path of the report."""
    demo.score(qs.NearestCentroid(), "nearest centroid on pixels")
    demo.score(qs.FromScratch(_network(), inner_steps=20), "from scratch (20 steps of Adam on 5 images)")

    pretrained = qs.PretrainFineTune(qs.models.conv4(channels=CHANNELS))
    demo.train(pretrained, "pretrain_fine_tune", share=0.5, tasks_per_step=1)
    demo.score(pretrained, "pre-train + fine-tune")

    maml = qs.MAML(_network(), inner_lr=0.4, inner_steps=1)
    demo.train(maml, "maml", sizes={"queries": 5}, tasks_per_step=8, outer=qs.Gradient(optimizer=ADAM))
    demo.score(maml, "MAML, without its adaptation", steps=0)
    demo.score(maml, "MAML")

    prototypical = qs.Prototypical(qs.models.conv4(channels=CHANNELS))
    many_ways = {"ways": 20, "queries": 5}
    run = demo.train(prototypical, "prototypical", sizes=many_ways, tasks_per_step=2, outer=qs.Gradient(optimizer=ADAM))
    best = demo.score(prototypical, "Prototypical")

    _print_table(demo.scores, demo.options.episodes)
    out = demo.out
    print(f"\nsaved: {out / 'prototypical'} and {out / 'maml'};  quickstudy.load({str(out / 'maml')!r}) reads one back")
    return demo.report(prototypical, run.history, best)


def _network() -> torch.nn.Module:
    return qs.models.conv4(ways=5, channels=CHANNELS)


def _print_table(scores: list[Evaluation], episodes: int) -> None:
    width = max(len(one.name) for one in scores)
    print(f"\nAccuracy on characters never seen in meta-training: 5-way 1-shot, {episodes} tasks of 75 queries, 95 % intervals\n")
    for one in sorted(scores, key=lambda one: one.mean):
        policy = one.protocol["normalisation"]
        print(f"  {one.name:{width}}  {100 * one.mean:5.1f} +- {100 * one.ci95:3.1f} %   normalisation {policy}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
