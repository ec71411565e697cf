"""quickstudy train LEARNER: meta-train a learner on a task family and leave a run folder.

RUN/config.yaml      everything needed to repeat the run, resolved
RUN/learner/         the best learner: config.json and weights.safetensors
RUN/metrics.jsonl    one record a meta-step
RUN/evaluation.json  the score on meta-test tasks
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

import quickstudy as qs
from quickstudy.cli.names import DEFAULT_NETWORK, LEARNERS, NETWORKS, TASKS, named
from quickstudy.meta.run import Run

DEFAULTS = {"steps": 2000, "tasks_per_step": 16}
NOT_OPTIONS: set[str | int] = {"learner", "tasks", "outer", "loss", "out", "progress"}


def train(argv: list[str]) -> int:
    """The command."""
    if not argv or argv[0].startswith("-"):
        print("usage: quickstudy train LEARNER --tasks TASKS [options]\n\nlearners: " + ", ".join(LEARNERS))
        print("tasks: " + ", ".join(TASKS) + "\n\n`quickstudy train LEARNER --tasks TASKS --help` lists all options.")
        return 0 if argv else 2
    name, rest = argv[0], argv[1:]
    named("LEARNER", name, LEARNERS)
    rest, tasks_name = _taken(rest, "--tasks", "omniglot")
    rest, network_name = _taken(rest, "--network", DEFAULT_NETWORK.get(tasks_name, "conv4"))
    options = parser(name, tasks_name, network_name).parse_args(rest)
    config = resolved(name, tasks_name, network_name, options)
    tasks, learner = build(config)
    out = Path(options.out or f"runs/{name}-{tasks_name}-{time.strftime('%Y%m%d-%H%M%S')}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    run = qs.meta_train(learner, tasks, **config["train"], out=out / "learner", progress=True)
    learner.save(out / "learner")
    write_metrics(out / "metrics.jsonl", run)
    print(run, file=sys.stderr)
    result = qs.evaluate(learner, tasks.test, options.episodes, progress=True)
    write_evaluation(out / "evaluation.json", result)
    print(result)
    print(f"run: {out}")
    return 0


def parser(name: str, tasks_name: str, network_name: str) -> ArgumentParser:
    """A parser whose options are the arguments of the learner, of `--tasks.`, of `--network.` and of meta_train."""
    learner, network = LEARNERS[name], named("--network", network_name, NETWORKS)
    made = ArgumentParser(prog=f"quickstudy train {name}", description=(inspect.getdoc(learner) or "").split("\n")[0])
    made.add_function_arguments(learner, skip=_skipped(learner), as_group=True)
    made.add_function_arguments(named("--tasks", tasks_name, TASKS), "tasks", skip=set())
    made.add_function_arguments(network, "network", skip={"ways"} if "ways" in inspect.signature(network).parameters else set())
    made.add_function_arguments(qs.meta_train, "train", skip={*NOT_OPTIONS, *DEFAULTS})
    for option, default in DEFAULTS.items():
        made.add_argument(f"--train.{option}", type=int, default=default)
    made.add_argument("--out", type=str, default=None, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600, help="meta-test tasks of the evaluation at the end")
    return made


def resolved(name: str, tasks_name: str, network_name: str, options: Namespace) -> dict[str, Any]:
    """The options as plain data: what config.yaml holds."""
    plain = json.loads(json.dumps(options.as_dict(), default=str))
    learner = {key: value for key, value in plain.items() if key not in ("tasks", "network", "train", "out", "episodes")}
    return {
        "quickstudy": qs.__version__,
        "learner": {"name": name, **learner},
        "tasks": {"name": tasks_name, **plain["tasks"]},
        "network": {"name": network_name, **plain["network"]},
        "train": plain["train"],
    }


def build(config: dict[str, Any]) -> tuple[Any, qs.Learner]:
    """Tasks and learner from a resolved config."""
    tasks = build_tasks(config)
    arguments, network_arguments = dict(config["learner"]), dict(config["network"])
    recipe, network = LEARNERS[arguments.pop("name")], NETWORKS[network_arguments.pop("name")]
    if "ways" in inspect.signature(network).parameters:
        embedding = "embed" in inspect.signature(recipe).parameters
        network_arguments["ways"] = None if embedding else tasks.train.protocol["ways"]
    return tasks, recipe(network(**network_arguments), **arguments)


def build_tasks(config: dict[str, Any]) -> Any:
    """The task family of a resolved config."""
    arguments = dict(config["tasks"])
    return TASKS[arguments.pop("name")](**arguments)


def write_metrics(path: Path, run: Run) -> None:
    """One JSON record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in run.history), encoding="utf-8")


def write_evaluation(path: Path, result: qs.Evaluation) -> None:
    """The scores and their protocol."""
    record = {"mean": result.mean, "ci95": result.ci95, "protocol": result.protocol, "per_episode": result.per_episode}
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")


def _skipped(learner: Callable) -> set[str | int]:
    """Arguments that the command line does not take: the network itself, functions, and objects."""
    simple = ("float", "int", "str", "bool", "None", "Normalisation", "Sequence")
    parameters = inspect.signature(learner).parameters
    return {
        key
        for key, one in parameters.items()
        if not any(word in str(one.annotation) for word in simple) or "Loss" in str(one.annotation)
    }


def _taken(argv: list[str], flag: str, default: str) -> tuple[list[str], str]:
    """`argv` without `flag VALUE` (or `flag=VALUE`), and the value."""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[:index] + argv[index + 2 :], argv[index + 1]
        if word.startswith(flag + "="):
            return argv[:index] + argv[index + 1 :], word.removeprefix(flag + "=")
    return argv, default
