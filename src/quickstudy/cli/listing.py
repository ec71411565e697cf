"""quickstudy list: the runs of a folder and their state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quickstudy.artifacts.run import CONFIG, METRICS, Run
from quickstudy.cli.options import command, read
from quickstudy.cli.terminal import printable
from quickstudy.errors import ArgumentError, QuickstudyError


def list_runs(argv: list[str]) -> int:
    """The command; 1 if there is no run."""
    made = command("list", "The runs of a folder.")
    made.add_argument("folder", type=str, nargs="?", default="runs", help="where the run folders lie")
    made.add_argument("--json", action="store_true", help="print one JSON record a line")
    options = read(made, argv)
    folder = Path(options.folder)
    if not folder.is_dir():
        raise ArgumentError(
            "FOLDER", expected="a folder of runs", got=f"{str(folder)!r}: no such folder", do="`quickstudy train` makes runs/."
        )
    found = {path.parent for name in (CONFIG, METRICS) for path in folder.glob(f"**/{name}")}
    rows = [_row(path) for path in sorted(found)]
    if options.json:
        for row in rows:
            print(json.dumps(row))
    elif rows:
        _print_table(rows)
    else:
        print(f"no run in {folder}")
    return 0 if rows else 1


def _row(path: Path) -> dict[str, Any]:
    """One run; what cannot be read of it is said in its own row, and hides no other."""
    row: dict[str, Any] = dict.fromkeys(("learner", "tasks", "steps", "of", "validation", "test"))
    try:
        return {"run": str(path), **row, **_summary(Run(path))}
    except (QuickstudyError, KeyError, TypeError, ValueError, OSError) as error:
        return {"run": str(path), **row, "state": f"broken: {' '.join(str(error).split())[:200]}"}


def _summary(run: Run) -> dict[str, Any]:
    history, evaluation, (learner, tasks) = run.metrics, run.evaluation, run.names
    scores = [record["validation"] for record in history if "validation" in record]
    return {
        "learner": learner,
        "tasks": tasks,
        "steps": history[-1]["step"] if history else 0,
        "of": run.config["train"].get("steps") if tasks else None,
        "validation": scores[-1] if scores else None,
        "test": None if evaluation is None else f"{_number(evaluation['mean'])} +- {_number(evaluation['ci95'])}",
        "state": run.state,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("run", "learner", "tasks", "steps", "last validation", "meta-test", "state"):
        table.add_column(column, overflow="fold")
    for row in rows:
        steps = "" if row["steps"] is None else str(row["steps"]) if row["of"] is None else f"{row['steps']}/{row['of']}"
        last = "" if row["validation"] is None else _number(row["validation"])
        cells = (row["run"], row["learner"], row["tasks"], steps, last, row["test"], row["state"])
        table.add_row(*(Text(printable(str(cell or ""))) for cell in cells))
    console = Console()
    with console.capture() as drawn:  # rich would end the process where nobody reads
        console.print(table)
    print(drawn.get(), end="")


def _number(value: float) -> str:
    return f"{value:.4f}"
