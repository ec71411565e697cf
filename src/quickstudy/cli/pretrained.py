"""quickstudy pretrained: the learners that come along, what each was trained on, and its scores beside its controls.

The scores are those of the file scores.json beside each learner, which names the command that measured them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quickstudy.artifacts.run import read_preprocessing
from quickstudy.artifacts.store import PRETRAINED, weights_hash
from quickstudy.cli.options import command, read
from quickstudy.domains.text.bytes import Bytes
from quickstudy.domains.text.encoder import Encoded
from quickstudy.files import read_json

SCORES = "scores.json"


def list_pretrained(argv: list[str]) -> int:
    """The command."""
    made = command("pretrained", "The learners that come along, with their scores beside those of their controls.")
    made.add_argument("--json", action="store_true", help="print one JSON record a line")
    options = read(made, argv)
    for folder in sorted(path for path in PRETRAINED.iterdir() if (path / "learner").is_dir()):
        record = {"name": folder.name, **scores_of(folder), **_asked_for(folder)}
        print(json.dumps(record) if options.json else _text(record))
    return 0


def scores_of(folder: Path) -> dict[str, Any]:
    """What a learner that comes along was trained on, and its scores; none where its weights are others than those scored."""
    found = read_json(folder / SCORES, expected="measured scores", do="Install quickstudy again.")
    return found if found.pop("of", None) == weights_hash(folder / "learner") else {**found, "scores": []}


def _asked_for(folder: Path) -> dict[str, str]:
    """What `predict` is given for this learner, and the encoder that its features are of, by its key."""
    reads = read_preprocessing(folder)
    if isinstance(reads, Encoded):
        return {"for": "CSV", "more": " --encoder FOLDER", "encoder": reads.key}
    return {"for": "CSV" if isinstance(reads, Bytes) else "FOLDER", "more": ""}


def _text(record: dict[str, Any]) -> str:
    rows = record["scores"]
    learners = list(dict.fromkeys(row["learner"] for row in rows))
    width = max((len(_tasks(row)) for row in rows), default=0)
    lines = [record["name"], f"  trained on  {record['trained_on']}", ""]
    lines += [f"  accuracy in %, +- a 95 % interval over tasks, of {'; '.join(learners)}", ""] if rows else []
    for tasks in dict.fromkeys(_tasks(row) for row in rows):
        found = {
            row["learner"]: f"{100 * row['accuracy']:.1f} +- {100 * row['ci95']:.1f}" for row in rows if _tasks(row) == tasks
        }
        lines.append(f"  {tasks:<{width}}" + "".join(f"  {found.get(name, ''):>11}" for name in learners))
    lines += [f"  on the features of the encoder with the key {record['encoder']}"] if "encoder" in record else []
    lines += ["", f"  measured on {record['date']} by `{record['command']}`"]
    lines += [
        f"  `quickstudy predict {record['name']} --support {record['for']} --query {record['for']}{record['more']}` uses it"
    ]
    return "\n".join(lines)


def _tasks(row: dict[str, Any]) -> str:
    return f"{row['tasks']}, {row['ways']}-way {row['shots']}-shot, {row['episodes']} tasks"
