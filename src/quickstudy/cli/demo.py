"""quickstudy demo: meta-training on characters that quickstudy draws, compared with the controls."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

import quickstudy as qs
from quickstudy.cli.options import command, read
from quickstudy.evaluation import Evaluation
from quickstudy.randomness import seeded
from quickstudy.tasks import TaskFamily

CHANNELS = 32  # of Conv4: half of the usual, so that a minute of meta-training on two cores is enough
ADAM = partial(torch.optim.Adam, lr=2e-3, fused=True)


def demo(argv: list[str]) -> int:
    """The command."""
    made = command("demo", "Meta-train on drawn characters, and compare with the controls.")
    made.add_argument("--seconds", type=float, default=60.0, help="of meta-training, for each learner")
    made.add_argument("--episodes", type=int, default=300, help="meta-test tasks of each evaluation")
    made.add_argument("--characters", type=int, default=1000, help="drawn characters to meta-train on")
    made.add_argument("--out", type=str, default="runs/demo", help="where the learners are saved")
    made.add_argument("--seed", type=int, default=0)
    options = read(made, argv)
    with seeded(options.seed):  # initial weights
        return _compared(options)


def _compared(options: Any) -> int:
    """Train, score and save; the exit code."""
    _say(f"drawing {options.characters + 300} characters, 20 times each ...")
    tasks = qs.tasks.Strokes(ways=5, shots=1, queries=15, classes=(options.characters, 100, 200), seed=options.seed)
    rows = [_score(qs.NearestCentroid(), tasks, options, "nearest centroid on pixels")]
    rows += [_score(qs.FromScratch(_network(), inner_steps=20), tasks, options, "from scratch (20 steps of Adam on 5 images)")]

    pretrained = qs.PretrainFineTune(qs.models.conv4(channels=CHANNELS))
    _train(pretrained, tasks, options, seconds=options.seconds / 2, tasks_per_step=1)
    rows += [_score(pretrained, tasks, options, "pre-train + fine-tune")]

    prototypical = qs.Prototypical(qs.models.conv4(channels=CHANNELS))
    many_ways = TaskFamily(tasks.train.with_(ways=20, queries=5), tasks.validation, tasks.test)
    _train(prototypical, many_ways, options, tasks_per_step=2, outer=qs.Gradient(optimizer=ADAM))
    rows += [_score(prototypical, tasks, options, "Prototypical")]

    maml = qs.MAML(_network(), inner_lr=0.4, inner_steps=1)
    few_queries = TaskFamily(tasks.train.with_(queries=5), tasks.validation, tasks.test)
    _train(maml, few_queries, options, tasks_per_step=8, outer=qs.Gradient(optimizer=ADAM))
    rows += [_score(maml, tasks, options, "MAML, without its adaptation", steps=0)]
    rows += [_score(maml, tasks, options, "MAML")]

    out = Path(options.out)
    for name, learner in (("prototypical", prototypical), ("maml", maml)):
        learner.save(out / name)
    _print_table(rows, options.episodes)
    print(f"\nsaved: {out / 'prototypical'} and {out / 'maml'};  quickstudy.load({str(out / 'maml')!r}) reads one back")
    return 0


def _network() -> torch.nn.Module:
    return qs.models.conv4(ways=5, channels=CHANNELS)


def _train(learner: qs.Learner, tasks: TaskFamily, options: object, *, tasks_per_step: int, **more: object) -> None:
    few = min(options.episodes, 100)  # type: ignore[attr-defined]
    settings = {"seconds": options.seconds, "validate_every": 250, "validation_episodes": few, **more}  # type: ignore[attr-defined]
    result = qs.meta_train(learner, tasks, steps=100_000, tasks_per_step=tasks_per_step, seed=options.seed, **settings)  # type: ignore
    _say(str(result))


def _score(
    learner: qs.Learner, tasks: TaskFamily, options: object, name: str, steps: int | None = None
) -> tuple[str, Evaluation]:
    _say(f"scoring {name} ...")
    episodes, seed = options.episodes, options.seed  # type: ignore[attr-defined]
    return name, qs.evaluate(learner, tasks.test, episodes, seed, steps)


def _print_table(rows: list[tuple[str, Evaluation]], episodes: int) -> None:
    width = max(len(name) for name, _ in rows)
    print(f"\nAccuracy on characters never seen in meta-training: 5-way 1-shot, {episodes} tasks of 75 queries, 95 % intervals\n")
    for name, result in sorted(rows, key=lambda row: row[1].mean):
        policy = result.protocol["normalisation"]
        print(f"  {name:{width}}  {100 * result.mean:5.1f} +- {100 * result.ci95:3.1f} %   normalisation {policy}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
