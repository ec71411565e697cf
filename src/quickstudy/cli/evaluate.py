"""quickstudy evaluate RUN: score a saved run on its meta-test tasks."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

import quickstudy as qs
from quickstudy.cli.train import build_tasks
from quickstudy.errors import CheckpointError


def evaluate(argv: list[str]) -> int:
    """The command."""
    made = ArgumentParser(prog="quickstudy evaluate", description="Score a run on its meta-test tasks.")
    made.add_argument("run", type=str, help="the run's folder")
    made.add_argument("--episodes", type=int, default=600)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--steps", type=int | None, default=None, help="inner steps at test")
    for option in ("ways", "shots", "queries"):
        made.add_argument(f"--{option}", type=int | None, default=None)
    made.add_argument("--json", action="store_true", help="print one JSON record")
    options = made.parse_args(argv)
    folder = Path(options.run)
    if not (folder / "config.yaml").is_file():
        raise CheckpointError(
            options.run,
            expected="a run folder, with config.yaml and learner/",
            got="a folder without config.yaml" if folder.is_dir() else "no such folder",
            do="Give the folder that `quickstudy train` printed last.",
        )
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    protocol = {key: options[key] for key in ("ways", "shots", "queries") if options[key] is not None}
    test = build_tasks(config).test
    learner = qs.load(folder / "learner")
    assert isinstance(learner, qs.Learner)
    result = qs.evaluate(
        learner, test.with_(**protocol) if protocol else test, options.episodes, options.seed, options.steps, progress=True
    )
    record = {"mean": result.mean, "ci95": result.ci95, "protocol": result.protocol, "seconds": result.seconds}
    print(json.dumps(record) if options.json else result)
    return 0
