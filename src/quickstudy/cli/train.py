"""quickstudy train and quickstudy resume: meta-train a learner, score it, and write a run folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
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
from quickstudy.report.write import REPORT
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
    check_ends(options)
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
    check_ends(options)
    run = Run(options.run)
    config = run.config
    if of_python := only_python(config):
        raise CheckpointError(
            f"{run.path / CONFIG}",
            expected="a run that its config can make again",
            got=f"one with {'; '.join(of_python)}"[:300],
            do=f"Go on with it in Python: qs.meta_train(learner, tasks, ..., out={str(run.path)!r}, resume=True).",
        )
    config["train"] |= {name: value for name in ("steps", "seconds") if (value := getattr(options, name)) is not None}
    ended = run.ended
    if ended is None or not _is_over(ended, config["train"]):
        return finished(config, run.path, options, resume=True)
    if run.evaluation is None or not (run.path / REPORT).is_file():  # killed in between
        return scored(run, options)
    print(_over(run, ended))
    return 0


def _is_over(ended: Mapping[str, Any], train: Mapping[str, Any]) -> bool:
    """Whether a run that ended so has no step left under these settings."""
    if ended["stopped"] == "seconds":
        return train.get("seconds") is not None and train["seconds"] <= ended["seconds"]
    return ended["stopped"] in EARLY or not 0 < ended["steps"] < train["steps"]  # 0: a learner that has nothing to train


def _over(run: Run, ended: Mapping[str, Any]) -> str:
    """How a finished run ended, and what one may want of it."""
    more = {
        "steps": f"`quickstudy resume {run.path} --steps N` goes on, to N meta-steps in all",
        "seconds": f"`quickstudy resume {run.path} --seconds N` goes on, to N seconds in all",
    }
    stopped = f", stopped by train.{ended['stopped']}" if ended["stopped"] in EARLY else ""
    lines = [f"{run.path} is finished: {ended['steps']} meta-steps{stopped}. Nothing was done."]
    lines += [more[ended["stopped"]]] if ended["steps"] and ended["stopped"] in more else []
    return "\n".join([*lines, f"its scores: `quickstudy evaluate {run.path}`; its report: {run.path / REPORT}"])


def finished(config: dict[str, Any], out: Path, options: Any, resume: bool) -> int:
    """Check the tasks and the learner, train to the end, score and report. Returns the exit code."""
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
    return scored(Run(out, tasks), options)


def scored(run: Run, options: Any) -> int:
    """Score a trained run, and its ensemble where it kept several checkpoints, and report. Returns the exit code."""
    result = run.score(options.episodes, progress=True)
    print(result)
    if (ensemble := RunFolder(run.path).ensemble).is_dir():
        together = qs.load(ensemble)
        if isinstance(together, qs.Ensemble) and len(together.members) > 1:
            found = qs.evaluate(together, run.tasks.test, options.episodes, progress=True)
            write_evaluation(ensemble, found)
            print(found)
    print(reported(run, result, options.controls))
    print(f"run: {run.path}")
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
