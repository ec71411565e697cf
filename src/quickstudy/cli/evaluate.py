"""quickstudy evaluate RUN: score a run on its meta-test tasks, or on other data. quickstudy compare RUN RUN ...: several runs."""

from __future__ import annotations

import json
import sys
from typing import Any

from jsonargparse import ArgumentParser

import quickstudy as qs
from quickstudy.artifacts.run import EVALUATION, Run, by_class
from quickstudy.cli.config import add_tasks, taken
from quickstudy.cli.names import named
from quickstudy.cli.options import command, read, whole
from quickstudy.cli.other_tasks import as_the_run, other_tasks
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.evaluate import Evaluation
from quickstudy.evaluation.metrics import LOSS
from quickstudy.evaluation.metrics import METRICS as KNOWN
from quickstudy.tasks.distribution.family import check_columns

OTHER = "score it on other data: folder, csv, omniglot, ..., with the options that `train` has for them; all of their classes"
PROTOCOL = ("ways", "shots", "queries")
METRICS = "names with commas between them, the score first: accuracy,nll or rmse,mae or loss; else those of the kind of target"


def evaluate(argv: list[str]) -> int:
    """The command `evaluate`; 1 if the score is below --at_least."""
    argv, name = taken(argv, "--tasks", None)
    made = command("evaluate", "Score a run on its meta-test tasks, or on other data.")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks")
    made.add_argument("--seed", type=int, default=0, help="of the tasks")
    made.add_argument("--steps", type=int | None, default=None, help="inner steps at test")
    _add_protocol(made)
    if name is None:
        made.add_argument("--tasks", type=str | None, default=None, help=OTHER)
    else:
        add_tasks(made, name)
    made.add_argument("--metrics", type=str | None, default=None, help=METRICS)
    made.add_argument(
        "--at_least", type=float | None, default=None, help="exit with 1 where the score is not above this for sure"
    )
    made.add_argument("--json", action="store_true", help="print one JSON record")
    options = read(made, argv)
    metrics = _metrics(options)
    run = Run(options.run)
    if name is not None:
        as_the_run(made, run, name)
        options = read(made, argv)
    scored = run.evaluation is not None
    result = _scored(run, name, options, metrics)
    others = {name: {"mean": one.mean, "ci95": one.ci95} for name, one in result.others.items()}
    record = {"mean": result.mean, "ci95": result.ci95, "protocol": result.protocol, "seconds": result.seconds, "others": others}
    print(json.dumps(record | by_class(result)) if options.json else result)
    if result._by_class is not None and not options.json:
        print(result._by_class)
    if not scored and run.evaluation is not None:
        print(f"saved: {run.path / EVALUATION}", file=sys.stderr)
    if options.at_least is None or result.mean - result.ci95 >= options.at_least:
        return 0
    print(f"the lower end of the interval, {result.mean - result.ci95:.4f}, is below {options.at_least}", file=sys.stderr)
    return 1


def _scored(run: Run, name: str | None, options: Any, metrics: list[str] | None) -> Evaluation:
    """The score that the options ask for; that of the run's own tasks as they are is kept in its folder."""
    as_it_is = all(getattr(options, option) is None for option in (*PROTOCOL, "within", "steps")) and metrics is None
    if name is None and as_it_is:
        return run.score(options.episodes, options.seed, progress=True)
    test = _under(run.tasks.test if name is None else other_tasks(run, name, options), options)
    return qs.evaluate(run.learner, test, options.episodes, options.seed, options.steps, metrics=metrics, progress=True)


def compare(argv: list[str]) -> int:
    """The command `compare`: all runs on the same episodes of the first run's meta-test tasks, with paired differences."""
    made = command("compare", "Score runs on the same tasks, with paired differences.")
    made.add_argument("runs", type=str, nargs="+", help="two run folders or more; the tasks are those of the first")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks")
    made.add_argument("--seed", type=int, default=0, help="of the tasks")
    made.add_argument("--metrics", type=str | None, default=None, help=METRICS)
    _add_protocol(made)
    made.add_argument("--json", action="store_true", help="print one JSON record")
    options = read(made, argv)
    metrics = _metrics(options)
    runs = [Run(path) for path in options.runs]
    if len(runs) < 2:
        raise ArgumentError(
            "RUN RUN ...", expected="two runs or more", got=str(len(runs)), do="Use `quickstudy evaluate` for one."
        )
    seen = {name for run in runs[1:] for split in ("train", "validation") for name in _classes(run, split)}
    if shared := seen & set(_classes(runs[0], "test")):
        print(f"warning: {len(shared)} of the test classes were meta-trained on by another of these runs", file=sys.stderr)
    test = _under(runs[0].tasks.test, options)
    names = [str(run.path) for run in runs]
    result = qs.compare([run.learner for run in runs], test, options.episodes, options.seed, names=names, metrics=metrics)
    if options.json:
        rows = [{"run": e.name, "mean": e.mean, "ci95": e.ci95, "protocol": e.protocol} for e in result.evaluations]
        print(json.dumps({"runs": rows, "differences": [vars(difference) for difference in result.differences]}))
    else:
        print(result)
    return 0


def _metrics(options: object) -> list[str] | None:
    """The names of `--metrics`; refused before any work, as is a number of episodes that gives no interval."""
    whole("--episodes", options.episodes, least=2)  # type: ignore[attr-defined]
    names = options.metrics  # type: ignore[attr-defined]
    if names is None:
        return None
    for name in names.split(","):
        named("--metrics", name, {LOSS: None, **KNOWN})
    return names.split(",")


def _add_protocol(made: ArgumentParser) -> None:
    for option in PROTOCOL:
        made.add_argument(f"--{option}", type=int | None, default=None, help=f"other {option} than the run's")
    made.add_argument("--within", type=str | None, default=None, help="a column: classes of an episode are of one of its groups")


def _under(test: qs.tasks.TaskDistribution, options: object) -> qs.tasks.TaskDistribution:
    given = {name: getattr(options, name) for name in PROTOCOL if getattr(options, name) is not None}
    if (within := options.within) is not None:  # type: ignore[attr-defined]
        check_columns(within, [test])
        given["within"] = within
    return test.with_(**given) if given else test


def _classes(run: Run, split: str) -> list[str]:
    return run.splits.get(split, [])
