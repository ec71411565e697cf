"""quickstudy train and quickstudy resume: meta-train a learner, score it, and write a run folder."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import quickstudy as qs
from quickstudy.artifacts.config import CONFIG
from quickstudy.artifacts.rebuilding import build, build_outer, only_python
from quickstudy.artifacts.run import Run, write_evaluation
from quickstudy.artifacts.run_folder import RunFolder
from quickstudy.artifacts.tracking import tracker
from quickstudy.cli.config import parse, parser, taken
from quickstudy.cli.controls import check_controls
from quickstudy.cli.ends import add_ends, check_ends
from quickstudy.cli.names import DEFAULT_NETWORK, LEARNERS, TASKS, named
from quickstudy.cli.options import command, read
from quickstudy.cli.report import reported
from quickstudy.errors import CheckpointError
from quickstudy.meta.loop.outer_loop import EARLY
from quickstudy.tasks.sources.options import QUERIES

USAGE = """usage: quickstudy train LEARNER --tasks TASKS [options]
       quickstudy train --config RUN/config.yaml [options]

learners: {learners}
tasks: {tasks}

`quickstudy train LEARNER --tasks TASKS --help` lists all options; `quickstudy explain LEARNER` says what it does."""


def train(argv: list[str]) -> int:
    """The command `train`."""
    asks = any(word in ("-h", "--help") for word in argv)
    if not argv or (argv[0].startswith("-") and asks):
        print(USAGE.format(learners=", ".join(LEARNERS), tasks=", ".join(TASKS)))
        return 0 if argv else 2
    name = None if argv[0].startswith("-") else argv[0]
    rest, file = taken(argv if name is None else argv[1:], "--config", None)
    if asks:
        return _help(name or "maml", rest)
    config, options = parse(rest, name, file)
    out = Path(options.out or f"runs/{config['learner']['name']}-{config['tasks']['name']}-{time.strftime('%Y%m%d-%H%M%S')}")
    return finished(config, out, options, resume=False)


def resume(argv: list[str]) -> int:
    """The command `resume`."""
    made = command("resume", "Go on with a run that was stopped or killed.")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--steps", type=int | None, default=None, help="meta-steps in all, where more are wanted than planned")
    made.add_argument("--seconds", type=float | None, default=None, help="wall time in all, where the run stopped by it")
    add_ends(made)
    options = read(made, argv)
    run = Run(options.run)
    config = run.config
    if of_python := only_python(config):
        raise CheckpointError(
            f"{run.path / CONFIG}",
            expected="a run that its config can make again",
            got=f"one with {'; '.join(of_python)}"[:300],
            do=f"Go on with it in Python: qs.meta_train(learner, tasks, ..., out={str(run.path)!r}, resume=True).",
        )
    if options.steps is not None:
        config["train"]["steps"] = options.steps
    if options.seconds is not None:
        config["train"]["seconds"] = options.seconds
    return finished(config, run.path, options, resume=True)


def finished(config: dict[str, Any], out: Path, options: Any, resume: bool) -> int:
    """Check everything, train to the end, score and report. Returns the exit code."""
    check_ends(options)
    folder = RunFolder(out, resume)
    with folder:
        tasks, learner = build(config)
        if config["tasks"].get("queries", 0) is None and (line := fitted(tasks)) is not None:
            print(line, file=sys.stderr)
        check_controls(options.controls, config, tasks)
        settings = config["train"] | build_outer(config)
        with nullcontext() if options.tracking is None else tracker(options.tracking, out, config) as track:
            training = qs.meta_train(learner, tasks, **settings, out=folder, resume=resume, track=track, progress=True)
    for line in training.passed_over:
        print(f"passed over: {line}", file=sys.stderr)
    print(training, file=sys.stderr)
    if training.stopped in EARLY:
        print(f"stopped by train.{training.stopped}", file=sys.stderr)
    if training.stopped == "seconds":
        print(f"`quickstudy resume {out} --seconds N` goes on, to N seconds in all", file=sys.stderr)
    run = Run(out, tasks)
    result = run.score(options.episodes, progress=True)
    print(result)
    if len(training.kept) > 1:
        together = qs.evaluate(qs.Ensemble.of(learner, training.kept), tasks.test, options.episodes, progress=True)
        write_evaluation(RunFolder(out).ensemble, together)
        print(together)
    print(reported(run, result, options.controls))
    print(f"run: {out}")
    return 0


def fitted(tasks: Any) -> str | None:
    """A line on the queries of a task, where the smallest class has too few examples for the usual number; None elsewhere."""
    smallest = min(int(part.counts.min()) for part in tasks.parts.values())
    shots, queries = tasks.test.shots, tasks.test.queries
    if queries == QUERIES:
        return None
    why = f"the smallest has {smallest} examples, and {shots} of them are its support"
    return f"queries: {queries} of each class, since {why} (--tasks.queries)"


def _help(name: str, rest: list[str]) -> int:
    named("LEARNER", name, LEARNERS)
    rest, tasks_name = taken(rest, "--tasks", "omniglot")
    _, network_name = taken(rest, "--network", DEFAULT_NETWORK.get(tasks_name, "conv4"))
    print(parser(name, tasks_name, network_name).format_help(), end="")
    return 0
