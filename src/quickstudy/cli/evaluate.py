"""quickstudy evaluate RUN: score a run on its meta-test tasks. quickstudy compare RUN RUN ...: several on the same tasks."""

from __future__ import annotations

import json
import sys

from jsonargparse import ArgumentParser

import quickstudy as qs
from quickstudy.artifacts.run import EVALUATION, Run, by_class, write_evaluation
from quickstudy.cli.names import named
from quickstudy.cli.options import command, read, whole
from quickstudy.errors import ArgumentError
from quickstudy.evaluation.metrics import LOSS
from quickstudy.evaluation.metrics import METRICS as KNOWN

PROTOCOL = ("ways", "shots", "queries")
METRICS = "names with commas between them, the score first: accuracy,nll or rmse,mae or loss; else those of the kind of target"


def evaluate(argv: list[str]) -> int:
    """The command `evaluate`; 1 if the score is below --at_least."""
    made = command("evaluate", "Score a run on its meta-test tasks.")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks")
    made.add_argument("--seed", type=int, default=0, help="of the tasks")
    made.add_argument("--steps", type=int | None, default=None, help="inner steps at test")
    _add_protocol(made)
    made.add_argument("--metrics", type=str | None, default=None, help=METRICS)
    made.add_argument(
        "--at_least", type=float | None, default=None, help="exit with 1 where the score is not above this for sure"
    )
    made.add_argument("--json", action="store_true", help="print one JSON record")
    options = read(made, argv)
    metrics = _metrics(options)
    run = Run(options.run)
    test = _under(run.tasks.test, options)
    result = qs.evaluate(run.learner, test, options.episodes, options.seed, options.steps, metrics=metrics, progress=True)
    others = {name: {"mean": one.mean, "ci95": one.ci95} for name, one in result.others.items()}
    record = {"mean": result.mean, "ci95": result.ci95, "protocol": result.protocol, "seconds": result.seconds, "others": others}
    print(json.dumps(record | by_class(result)) if options.json else result)
    if result._by_class is not None and not options.json:
        print(result._by_class)
    if _belongs(run, result):
        write_evaluation(run.path, result)
        print(f"saved: {run.path / EVALUATION}", file=sys.stderr)
    if options.at_least is None or result.mean - result.ci95 >= options.at_least:
        return 0
    print(f"the lower end of the interval, {result.mean - result.ci95:.4f}, is below {options.at_least}", file=sys.stderr)
    return 1


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


def _belongs(run: Run, result: qs.evaluation.Evaluation) -> bool:
    """Whether the score belongs into the run's record: the run is finished and has none, or one of the same protocol."""
    own = run.tasks.test.protocol | {"steps": getattr(run.learner, "inner_steps", None)}
    if any(result.protocol[key] != value for key, value in own.items()):
        return False
    held = run.evaluation
    if held is None:
        return run.state == "finished"
    same = all(result.protocol[key] == held["protocol"].get(key) for key in ("metric", "episodes", "seed", "steps"))
    return same and set(held.get("others", {})) == set(result.others)


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


def _under(test: qs.tasks.TaskDistribution, options: object) -> qs.tasks.TaskDistribution:
    given = {name: getattr(options, name) for name in PROTOCOL if getattr(options, name) is not None}
    return test.with_(**given) if given else test


def _classes(run: Run, split: str) -> list[str]:
    return run.splits.get(split, [])
